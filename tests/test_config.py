"""A run is refused for what is wrong with its options, with the value, the bound and a remedy."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featuremill.config import ENGINES, PRECISIONS, RejectLimit, RunConfig, options
from featuremill.errors import ConfigError


def config(**options) -> RunConfig:
    return RunConfig("images", "out", **options)


@pytest.mark.parametrize(
    ("options", "problem", "remedy"),
    [
        ({"n_components": 0}, "--components is 0, it must be at least 1", "--no-reduce"),
        ({"n_components": -3}, "--components is -3, it must be at least 1", "--no-reduce"),
        ({"variance": 0.0}, "--variance is 0.0, it must be above 0", "--variance 0.9"),
        ({"variance": -0.1}, "--variance is -0.1, it must be above 0", "--variance 0.9"),
        ({"variance": 90}, "--variance is 90, it must be above 0 and at most 1", "--variance 0.9"),
        ({"variance": math.nan}, "--variance is nan, it must be above 0", "--variance 0.9"),
        (
            {"n_components": 5, "variance": 0.9},
            "--components 5 and --variance 0.9 were both given",
            "Give one of them",
        ),
        ({"precision": "fp16"}, "--precision is 'fp16'", "auto, fp32, mixed, bf16"),
        ({"engine": "keras"}, "--engine is 'keras'", "auto, openvino, onnxruntime"),
        (
            {"engine": "onnxruntime", "precision": "bf16"},
            "--engine onnxruntime computes in fp32 only, but --precision is bf16",
            "--engine openvino",
        ),
        (
            {"engine": "onnxruntime", "precision": "mixed"},
            "--engine onnxruntime computes in fp32 only, but --precision is mixed",
            "--precision fp32 or auto",
        ),
        ({"max_bytes": 0}, "--max-bytes is 0, it must be above 0", "Leave --max-bytes out"),
        ({"max_pixels": -1}, "--max-pixels is -1, it must be above 0", "Leave --max-pixels out"),
        ({"image_timeout": 0}, "--image-timeout is 0, it must be from 0.1 to", "default is 60"),
        ({"image_timeout": math.inf}, "--image-timeout is inf, it must be", "default is 60"),
        ({"image_timeout": math.nan}, "--image-timeout is nan, it must be", "default is 60"),
        ({"master": "nonsense"}, "--master is 'nonsense'", "local[2]"),
        ({"master": "local[0]"}, "--master is 'local[0]'", "local[2]"),
        ({"workers": 0}, "--workers is 0, it must be at least 1", "Leave --workers out"),
        (
            {"workers": 2, "master": "local[2]"},
            "--master local[2] and --workers 2 were both given",
            "Give one of them",
        ),
        ({"classes": "apple"}, "classes is the text 'apple'", "Give a tuple"),
        ({"n_components": 2.5}, "n_components is 2.5", "Give a number"),
        ({"master": "sc://host"}, "--master is sc://host: Spark Connect", "local[*]"),
    ],
)
def test_a_value_out_of_its_bounds_is_refused(options, problem, remedy):
    with pytest.raises(ConfigError) as refused:
        config(**options)
    assert problem in refused.value.problem
    assert remedy in refused.value.remedy
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_components": 1},
        {"variance": 1.0},
        {"variance": 1e-9},
        {"max_bytes": 1, "max_pixels": 1, "image_timeout": 0.1},
        {"engine": "onnxruntime", "precision": "fp32"},
        {"engine": "onnxruntime", "precision": "auto"},
        {"master": "yarn"},
        *({"precision": precision} for precision in PRECISIONS),
        *({"engine": engine} for engine in ENGINES),
    ],
)
def test_values_at_their_bounds_are_taken(options):
    assert config(**options)


def test_no_more_components_than_features():
    config(n_components=1280).check_components(1280)
    config().check_components(10)
    with pytest.raises(ConfigError) as refused:
        config(n_components=1281).check_components(1280)
    assert refused.value.problem == "--components is 1281, but mobilenetv2 has 1280 features"
    assert "from 1 to 1280" in refused.value.remedy


def test_the_description_is_plain_and_names_every_option():
    options = config(classes=("Kiwi",), max_rejects=RejectLimit(count=3))
    description = json.loads(json.dumps(options.description()))
    assert set(description) == set(RunConfig.__dataclass_fields__)
    assert description["max_rejects"] == "3"
    assert description["classes"] == ["Kiwi"]


def test_every_field_is_an_option_and_described_by_its_help():
    named = dict(options())
    assert set(RunConfig.__dataclass_fields__) - set(named) == {
        "source",
        "destination",
        "pca_from",
    }
    for name, option in named.items():
        assert f"{name} : " in RunConfig.__doc__
        assert option.help in RunConfig.__doc__


class TestRejectLimit:
    @pytest.mark.parametrize(
        ("text", "limit"),
        [
            ("5%", RejectLimit(share=0.05)),
            (" 2.5 % ", RejectLimit(share=0.025)),
            ("0%", RejectLimit(share=0.0)),
            ("100%", RejectLimit(share=1.0)),
            ("0", RejectLimit(count=0)),
            ("100", RejectLimit(count=100)),
        ],
    )
    def test_a_share_or_a_number(self, text, limit):
        assert RejectLimit.parse(text) == limit

    @pytest.mark.parametrize("text", ["", "%", "-1", "-5%", "100.1%", "0.5", "5 %%", "some", "1e3"])
    def test_anything_else_is_refused(self, text):
        with pytest.raises(ConfigError) as refused:
            RejectLimit.parse(text)
        assert refused.value.problem == f"--max-rejects is {text!r}"
        assert "5%" in refused.value.remedy

    @pytest.mark.parametrize(
        ("limit", "rejected", "total", "exceeded"),
        [
            ("5%", 5, 100, False),
            ("5%", 6, 100, True),
            ("0%", 0, 100, False),
            ("0%", 1, 100, True),
            ("100%", 100, 100, False),
            ("5%", 0, 0, False),
            ("3", 3, 3, False),
            ("3", 4, 1_000_000, True),
            ("0", 1, 1_000_000, True),
        ],
    )
    def test_only_more_than_the_limit_exceeds_it(self, limit, rejected, total, exceeded):
        assert RejectLimit.parse(limit).exceeded(rejected, total) is exceeded

    @given(st.one_of(st.integers(0, 10**9).map(str), st.integers(0, 100).map("{}%".format)))
    def test_its_text_is_read_back(self, text):
        assert str(RejectLimit.parse(text)) == text
