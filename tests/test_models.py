"""Names, weights and graphs: everything about a model short of running it at speed."""

import dataclasses
import hashlib
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, Never

import h5py
import numpy as np
import onnx
import pytest
from safetensors.numpy import save

from featuremill.errors import ModelError
from featuremill.images.preprocessing import Preprocessing
from featuremill.models import correction, download, embedded, keras_h5, mobilenetv2, registry
from featuremill.models.network import BOUNDS, CONTRACTS, MixedPlan, Network

Weights = dict[str, dict[str, Any]]

SHAPES = {
    "Conv1": {"kernel": (3, 3, 3, 4)},
    "bn_Conv1": {"gamma": (4,), "beta": (4,)},
    "block_depthwise": {"kernel": (3, 3, 4, 1)},
}
"""A network small enough to read in a test."""


def small_weights() -> Weights:
    random = np.random.default_rng(0)
    return {
        layer: {field: random.random(shape, np.float32) for field, shape in fields.items()}
        for layer, fields in SHAPES.items()
    }


def save_legacy(path: Path, weights: Weights, *, root: str = "/", suffix: str = "") -> Path:
    """Write weights as Keras' ``save_weights`` does; ``root`` is not ``/`` in a whole model."""
    with h5py.File(path, "w") as file:
        top = file.require_group(root)
        top.attrs["layer_names"] = ["input_1", *weights]
        top.create_group("input_1").attrs["weight_names"] = []
        for layer, fields in weights.items():
            group = top.create_group(layer)
            names = [f"{layer}/{field}{suffix}" for field in fields]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, values in zip(names, fields.values(), strict=True):
                group[name] = values
    return path


def assert_same(read: Weights, written: Weights) -> None:
    assert {layer: list(fields) for layer, fields in read.items()} == {
        layer: list(fields) for layer, fields in written.items()
    }
    for layer, fields in written.items():
        for name, values in fields.items():
            np.testing.assert_array_equal(read[layer][name], values)
            assert read[layer][name].dtype == np.float32


def a_network(**changes: Any) -> Network:
    network = Network(
        name="mobilenetv2",
        onnx=b"graph",
        weights_sha256="0" * 64,
        n_features=1280,
        mixed=MixedPlan(fp32=("Conv1",), fp32_biases=("block_1_expand",)),
        preprocessing=Preprocessing((224, 224), scale=1 / 127.5, mean=(1.0, 1.0, 1.0)),
        trained=True,
        licence="Apache-2.0",
    )
    return dataclasses.replace(network, **changes)


class TestNetwork:
    def test_its_identity_does_not_drift_between_releases(self) -> None:
        assert a_network().model_id("auto") == "71d3c18db2f8ebf0"

    @pytest.mark.parametrize(
        ("name", "identity"),
        [("embedded", "f31b827e363b5fdd"), ("mobilenetv2-untrained", "868a2d382d118a06")],
    )
    def test_features_of_earlier_releases_stay_valid(self, name: str, identity: str) -> None:
        assert registry.load(name).model_id("auto") == identity

    @pytest.mark.parametrize(
        "changes",
        [
            {"onnx": b"other graph"},
            {"weights_sha256": "1" * 64},
            {"mixed": None},
            {"mixed": MixedPlan(fp32=("Conv1",), fp32_biases=())},
            {"preprocessing": Preprocessing((224, 224), resample="bilinear")},
        ],
        ids=str,
    )
    def test_whatever_changes_features_changes_its_identity(self, changes: dict[str, Any]) -> None:
        assert a_network(**changes).model_id("auto") != a_network().model_id("auto")

    def test_what_does_not_change_features_does_not_change_its_identity(self) -> None:
        other = a_network(name="mine", licence="as of the weights given")
        assert other.model_id("auto") == a_network().model_id("auto")

    def test_each_contract_gives_another_identity(self) -> None:
        assert len({a_network().model_id(contract) for contract in CONTRACTS}) == 3
        assert dict(BOUNDS) == {"fp32": 0.9999, "auto": 0.999, "bf16": None}

    def test_an_unknown_contract_is_refused(self) -> None:
        with pytest.raises(ValueError, match="'fp16', must be one of fp32, auto, bf16"):
            a_network().model_id("fp16")

    def test_it_travels_and_stays_itself(self) -> None:
        network = a_network()
        identity = network.model_id("fp32")
        arrived = pickle.loads(pickle.dumps(network))
        assert arrived == network
        assert arrived.model_id("fp32") == identity

    def test_its_repr_leaves_out_nine_megabytes(self) -> None:
        assert "graph" not in repr(a_network())


class TestKerasFiles:
    @pytest.mark.parametrize("suffix", ["", ":0"])
    @pytest.mark.parametrize("root", ["/", "model_weights"])
    def test_weights_and_whole_models_are_read(
        self, tmp_path: Path, root: str, suffix: str
    ) -> None:
        path = save_legacy(tmp_path / "w.h5", small_weights(), root=root, suffix=suffix)
        assert_same(keras_h5.read_weights(path, SHAPES), small_weights())

    def test_the_classifier_is_ignored(self, tmp_path: Path) -> None:
        top = {"predictions": {"kernel": np.ones((4, 1000)), "bias": np.ones(1000)}}
        path = save_legacy(tmp_path / "w.h5", small_weights() | top)
        assert_same(keras_h5.read_weights(path, SHAPES), small_weights())

    def test_keras_2_calls_a_depthwise_kernel_by_its_own_name(self, tmp_path: Path) -> None:
        weights = small_weights()
        weights["block_depthwise"]["depthwise_kernel"] = weights["block_depthwise"].pop("kernel")
        path = save_legacy(tmp_path / "w.h5", weights, suffix=":0")
        assert_same(keras_h5.read_weights(path, SHAPES), small_weights())

    def test_renamed_layers_are_taken_in_order(self, tmp_path: Path) -> None:
        weights = small_weights()
        published = dict(zip(("Conv1", "bn", "mobl0_conv_0"), weights.values(), strict=True))
        path = save_legacy(tmp_path / "w.h5", published)
        assert_same(keras_h5.read_weights(path, SHAPES), weights)

    def test_layers_with_the_right_names_may_stand_in_any_order(self, tmp_path: Path) -> None:
        weights = small_weights()
        turned = {layer: weights[layer] for layer in reversed(weights)}
        path = save_legacy(tmp_path / "w.h5", turned)
        assert_same(keras_h5.read_weights(path, SHAPES), weights)

    def test_a_network_nested_in_a_classifier_is_found(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "w.h5", "w") as file:
            file.attrs["layer_names"] = ["mobilenetv2_1.00_224"]
            group = file.create_group("mobilenetv2_1.00_224")
            for layer, fields in small_weights().items():
                for name, values in fields.items():
                    group[f"{layer}/{name}:0"] = values
            group.attrs["weight_names"] = [
                f"{layer}/{name}:0" for layer, fields in SHAPES.items() for name in fields
            ]
        assert_same(keras_h5.read_weights(tmp_path / "w.h5", SHAPES), small_weights())

    def test_a_missing_layer_is_named(self, tmp_path: Path) -> None:
        weights = small_weights()
        del weights["bn_Conv1"]
        path = save_legacy(tmp_path / "w.h5", weights)
        with pytest.raises(ModelError, match=r"layer 'bn_Conv1' with gamma \(4,\), beta \(4,\)"):
            keras_h5.read_weights(path, SHAPES)

    def test_a_file_that_ends_too_early_is_refused(self, tmp_path: Path) -> None:
        weights = small_weights()
        del weights["block_depthwise"]
        path = save_legacy(tmp_path / "w.h5", weights)
        with pytest.raises(ModelError, match=r"'block_depthwise'.*found the end of the file"):
            keras_h5.read_weights(path, SHAPES)

    def test_a_wrong_shape_is_shown_beside_the_right_one(self, tmp_path: Path) -> None:
        weights = small_weights()
        weights["Conv1"]["kernel"] = np.ones((3, 3, 3, 2))
        path = save_legacy(tmp_path / "w.h5", weights)
        expected_then_found = r"kernel \(3, 3, 3, 4\).*found 'Conv1' with kernel \(3, 3, 3, 2\)"
        with pytest.raises(ModelError, match=expected_then_found):
            keras_h5.read_weights(path, SHAPES)

    def test_a_bias_that_would_be_lost_is_refused(self, tmp_path: Path) -> None:
        weights = small_weights()
        weights["Conv1"]["bias"] = np.ones(4)
        path = save_legacy(tmp_path / "w.h5", weights)
        with pytest.raises(ModelError, match=r"found 'Conv1' with kernel .*, bias \(4,\)"):
            keras_h5.read_weights(path, SHAPES)

    def test_keras_3_weights_are_recognised(self, tmp_path: Path) -> None:
        path = tmp_path / "model.weights.h5"
        with h5py.File(path, "w") as file:
            file["layers/conv2d/vars/0"] = np.ones((3, 3, 3, 4))
        with pytest.raises(ModelError, match=r"Keras 3's \.weights\.h5") as error:
            keras_h5.read_weights(path, SHAPES)
        assert "model.save(" in error.value.remedy

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not HDF5 at all"])
    def test_a_file_of_another_format_is_refused(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "w.h5"
        path.write_bytes(content)
        with pytest.raises(ModelError, match="no readable HDF5 file"):
            keras_h5.read_weights(path, SHAPES)

    def test_a_truncated_file_is_refused(self, tmp_path: Path) -> None:
        path = save_legacy(tmp_path / "w.h5", small_weights())
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ModelError, match="no readable HDF5 file"):
            keras_h5.read_weights(path, SHAPES)

    @pytest.mark.parametrize("kind", ["external", "virtual", "soft link", "external link"])
    def test_weights_that_take_data_from_elsewhere_are_refused(
        self, tmp_path: Path, kind: str
    ) -> None:
        path = save_legacy(tmp_path / "w.h5", small_weights())
        secret = save_legacy(tmp_path / "secret.h5", small_weights())
        with h5py.File(path, "r+") as file:
            name = next(
                f"{layer}/{layer}/{field}" for layer in file for field in file[layer].get(layer, ())
            )
            values = file[name][()]
            del file[name]
            if kind == "external":
                (tmp_path / "secret").write_bytes(values.tobytes())
                where = [(str(tmp_path / "secret"), 0, values.nbytes)]
                file.create_dataset(name, values.shape, values.dtype, external=where)
            elif kind == "virtual":
                layout = h5py.VirtualLayout(values.shape, values.dtype)
                layout[...] = h5py.VirtualSource(secret, name, values.shape)
                file.create_virtual_dataset(name, layout)
            elif kind == "soft link":
                file["elsewhere"] = values
                file[name] = h5py.SoftLink("/elsewhere")
            else:
                file[name] = h5py.ExternalLink(str(secret), name)
        with pytest.raises(ModelError, match=r"w\.h5 are not whole: .*(is a link|another file)"):
            keras_h5.read_weights(path, SHAPES)

    def test_a_group_within_itself_ends(self, tmp_path: Path) -> None:
        path = save_legacy(tmp_path / "w.h5", small_weights())
        with h5py.File(path, "r+") as file:
            file["again"] = file["/"]
        assert_same(keras_h5.read_weights(path, SHAPES), small_weights())

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"none\.h5 are not a file that exists"):
            keras_h5.read_weights(tmp_path / "none.h5", SHAPES)


@pytest.mark.parametrize("axis", [2, 3])
def test_a_folded_batch_norm_computes_the_same(axis: int) -> None:
    random = np.random.default_rng(0)
    kernel = random.normal(size=(1, 1, 5, 5)).astype(np.float32)
    fields = ("gamma", "beta", "moving_mean", "moving_variance")
    norm = {name: random.uniform(0.5, 2, 5).astype(np.float32) for name in fields}
    folded, bias = keras_h5.fold_batch_norm(kernel, norm, axis)

    sums = np.moveaxis(kernel, axis, -1).reshape(-1, 5).astype(np.float64)
    expected = (sums - norm["moving_mean"]) / np.sqrt(norm["moving_variance"] + 1e-3)
    expected = expected * norm["gamma"] + norm["beta"]
    np.testing.assert_allclose(np.moveaxis(folded, axis, -1).reshape(-1, 5) + bias, expected, 1e-5)
    assert folded.dtype == bias.dtype == np.float32


class TestMobileNetV2:
    def test_it_is_the_published_network(self) -> None:
        assert len(mobilenetv2.LAYERS) == 52
        parameters = sum(
            int(np.prod(shape))
            for fields in mobilenetv2.WEIGHT_SHAPES.values()
            for shape in fields.values()
        )
        assert parameters == 2_257_984  # as Keras counts them, without the classifier
        assert sum(layer.residual is not None for layer in mobilenetv2.LAYERS) == 10

    def test_the_plan_for_mixed_precision_can_be_followed(self) -> None:
        layers = {layer.name: layer for layer in mobilenetv2.LAYERS}
        names = [*mobilenetv2.MIXED.fp32, *mobilenetv2.MIXED.fp32_biases]
        assert len({layers[name] for name in names}) == len(names)
        assert not any(layers[name].residual for name in mobilenetv2.MIXED.fp32)

    def test_the_graph_says_what_goes_in_and_out(self, untrained: Network) -> None:
        graph = onnx.load_from_string(untrained.onnx).graph
        assert [describe(value) for value in (*graph.input, *graph.output)] == [
            ("pixels", onnx.TensorProto.UINT8, ["N", 224, 224, 3]),
            ("features", onnx.TensorProto.FLOAT, ["N", 1280]),
        ]

    def test_every_layer_has_the_name_and_shape_it_has_in_keras(self, untrained: Network) -> None:
        graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(untrained.onnx)).graph
        shapes = {value.name: describe(value)[2] for value in graph.value_info}
        assert {layer.output for layer in mobilenetv2.LAYERS} <= set(shapes)
        assert shapes["block_3_project"] == ["N", 32, 28, 28]
        assert shapes["Conv_1"] == ["N", 1280, 7, 7]

    def test_the_same_seed_gives_the_same_weights(self) -> None:
        first, again, other = (mobilenetv2.untrained_weights(seed) for seed in (1, 1, 2))
        assert_same(again, first)
        assert not np.array_equal(other["Conv1"]["kernel"], first["Conv1"]["kernel"])


@pytest.fixture(scope="module")
def network() -> Network:
    """The one that ships in the package."""
    return registry.load("embedded")


class TestEmbedded:
    def test_it_loads_without_a_network_or_a_cache(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def offline(*_: object) -> Never:
            pytest.fail("something was fetched")

        monkeypatch.setattr(registry, "fetch", offline)
        monkeypatch.setenv("FEATUREMILL_CACHE", str(tmp_path / "cache"))
        network = registry.load("embedded")
        assert network.trained
        assert network.licence == "MIT"
        assert not (tmp_path / "cache").exists()

    def test_it_is_small(self) -> None:
        assert sum(int(np.prod(shape)) for shape in embedded.TENSORS.values()) == 2_558_672

    def test_the_graph_says_what_goes_in_and_out(self, network: Network) -> None:
        graph = onnx.load_from_string(network.onnx).graph
        assert [describe(value) for value in (*graph.input, *graph.output)] == [
            ("pixels", onnx.TensorProto.UINT8, ["N", 96, 96, 3]),
            ("features", onnx.TensorProto.FLOAT, ["N", 1280]),
        ]
        assert (network.input_size, network.n_features) == ((96, 96), 1280)

    def test_the_last_stage_keeps_its_resolution(self, network: Network) -> None:
        graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(network.onnx)).graph
        shapes = {value.name: describe(value)[2] for value in graph.value_info}
        assert {layer.name for layer in embedded.LAYERS} <= set(shapes)
        assert shapes["stage3_block3_second"] == ["N", 144, 6, 6]
        assert shapes["head"] == ["N", 1280, 6, 6]

    def test_its_kernels_are_the_same_in_bf16(self, network: Network) -> None:
        for tensor in onnx.load_from_string(network.onnx).graph.initializer:
            if tensor.name.endswith("/kernel"):
                kernel = onnx.numpy_helper.to_array(tensor)
                np.testing.assert_array_equal(correction.to_bf16(kernel), kernel)

    def test_a_damaged_installation_is_told_apart(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        packaged = registry.files("featuremill.models") / "embedded.safetensors"
        content = bytearray(packaged.read_bytes())
        monkeypatch.setattr(registry, "files", lambda _: tmp_path)
        with pytest.raises(ModelError, match=r"Cannot read .*embedded\.safetensors") as error:
            registry.load("embedded")
        assert error.value.remedy == "Install featuremill again."

        content[-1] ^= 1
        (tmp_path / "embedded.safetensors").write_bytes(content)
        with pytest.raises(ModelError, match=r"not the file that ships.* SHA-256 [0-9a-f]{64}, "):
            registry.load("embedded")

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"stem/bias": None}, "lack tensor 'stem/bias'"),
            ({"tail/bias": np.zeros(3)}, "have the unknown tensor 'tail/bias'"),
            ({"stem/bias": np.zeros(31)}, r"'stem/bias' in shape \(31,\), expected \(32,\)"),
            ({"stem/bias": np.full(32, np.nan)}, "'stem/bias' that is not finite"),
        ],
        ids=["missing", "unknown", "of another shape", "not finite"],
    )
    def test_weights_of_another_network_are_refused(
        self, changes: dict[str, Any], problem: str
    ) -> None:
        arrays = {name: np.zeros(shape, np.float16) for name, shape in embedded.TENSORS.items()}
        arrays = {k: v for k, v in (arrays | changes).items() if v is not None}
        with pytest.raises(ModelError, match=problem):
            embedded.read_weights(save(arrays))

    def test_what_is_no_safetensors_file_is_refused(self) -> None:
        with pytest.raises(ModelError, match="are no safetensors file"):
            embedded.read_weights(b"version https://git-lfs.github.com/spec/v1")


def describe(value: onnx.ValueInfoProto) -> tuple[str, int, list[str | int]]:
    tensor = value.type.tensor_type
    return value.name, tensor.elem_type, [d.dim_param or d.dim_value for d in tensor.shape.dim]


@pytest.fixture(scope="module")
def untrained() -> Network:
    return registry.load("mobilenetv2-untrained")


class TestRegistry:
    def test_the_published_weights_are_pinned(self) -> None:
        weights = registry.get("mobilenetv2").weights
        assert isinstance(weights, registry.Published)
        assert weights.url.startswith("https://storage.googleapis.com/tensorflow/")
        assert weights.url.endswith("/" + weights.file)
        assert weights.size == 9_406_464
        assert len(bytes.fromhex(weights.sha256)) == 32

    def test_names_are_sorted_and_can_be_looked_up(self) -> None:
        assert registry.names() == (
            *("dinov2-base", "dinov2-small", "embedded"),
            *("mobilenetv2", "mobilenetv2-untrained", "siglip2-base"),
        )
        assert [registry.describe(name)["name"] for name in registry.names()] == [*registry.names()]

    @pytest.mark.parametrize(
        ("name", "remedy"),
        [
            ("mobilnetv2", "Did you mean --model mobilenetv2?"),
            ("mobilenet-untrained", "Did you mean --model mobilenetv2-untrained?"),
            ("xyz", "Choose one of them."),
        ],
    )
    def test_an_unknown_name_gets_the_closest(self, name: str, remedy: str) -> None:
        with pytest.raises(ModelError, match=r"there are dinov2-base, .*, mobilenetv2, ") as e:
            registry.get(name)
        assert e.value.remedy == remedy

    def test_untrained_weights_say_so_and_are_the_same_every_time(self, untrained: Network) -> None:
        assert not untrained.trained
        assert registry.load("mobilenetv2-untrained") == untrained

    @pytest.mark.parametrize(
        ("name", "origin"),
        [("embedded", "shipped with featuremill"), ("mobilenetv2-untrained", "drawn from a seed")],
    )
    def test_models_with_weights_of_their_own_take_no_others(
        self, tmp_path: Path, name: str, origin: str
    ) -> None:
        with pytest.raises(ModelError, match=f"weights of its own, {origin}, but --weights") as e:
            registry.load(name, tmp_path / "w.h5")
        assert "--model mobilenetv2" in e.value.remedy

    def test_given_weights_are_taken_and_identified(
        self, tmp_path: Path, untrained: Network
    ) -> None:
        weights = mobilenetv2.untrained_weights(registry.UNTRAINED_SEED)
        path = save_legacy(tmp_path / "mine.h5", weights)
        network = registry.load("mobilenetv2", path)
        assert network.onnx == untrained.onnx
        assert network.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert network.trained
        assert network.licence == "as of the weights given"

    def test_missing_weights_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="not a file that exists"):
            registry.load("mobilenetv2", tmp_path / "none.h5")

    def test_offline_the_first_load_says_what_to_do(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(download, "BACKOFF_S", (0, 0, 0))
        monkeypatch.setenv("FEATUREMILL_CACHE", str(tmp_path))
        monkeypatch.setenv("FEATUREMILL_WEIGHTS_URL", "http://127.0.0.1:9/mirror")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with pytest.raises(ModelError, match=r"127\.0\.0\.1:9/mirror/mobilenet_v2") as error:
            registry.load("mobilenetv2")
        assert "--model embedded" in error.value.remedy

    def test_listing_models_loads_no_engine(self) -> None:
        heavy = ("h5py", "onnx", "onnxruntime", "openvino")
        program = (
            "import sys; from featuremill.models import engines, registry; registry.names(); "
            f"registry.get('mobilenetv2'); print([m for m in {heavy} if m in sys.modules])"
        )
        shown = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert shown.stdout.strip() == "[]"
