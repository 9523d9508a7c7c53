"""Engines give the same features whatever runs them, and say no where they cannot."""

import dataclasses
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from featuremill.errors import PrecisionError
from featuremill.images.decode import resize
from featuremill.images.synth import SynthConfig, draw
from featuremill.models import correction, embedded, engines, mixed, registry
from featuremill.models.engines import BATCH, native_bf16, open_engine, smallest_cosine
from featuremill.models.network import BOUNDS, Network

Pixels = npt.NDArray[np.uint8]

HERE = [
    name
    for name in engines.ENGINES
    if importlib.util.find_spec(name) and (name != "openvino" or engines._has_openvino())
]

needs_openvino = pytest.mark.skipif("openvino" not in HERE, reason="no OpenVINO here")
needs_bf16 = pytest.mark.skipif(not native_bf16(), reason="no bf16 in this CPU")


@pytest.fixture(scope="module")
def untrained() -> Network:
    return registry.load("mobilenetv2-untrained")


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    """Soft gradients, each image another: (20, 224, 224, 3)."""
    random = np.random.default_rng(0)
    corners = random.integers(0, 256, (20, 2, 2, 3)).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((224, 224))) for c in corners])


@pytest.fixture(autouse=True, scope="module")
def engines_of_this_module() -> Iterator[None]:
    """Engines opened here do not stay in memory for the rest of the tests."""
    yield
    engines._open.clear()


@pytest.mark.parametrize("name", HERE)
class TestEveryEngine:
    def test_features_do_not_depend_on_how_batches_fall(
        self, untrained: Network, pixels: Pixels, name: str
    ) -> None:
        engine = open_engine(untrained, "fp32", name)
        features = engine.embed(pixels)
        assert features.shape == (20, 1280)
        assert features.dtype == np.float32
        np.testing.assert_array_equal(engine.embed(pixels[13:14])[0], features[13])
        np.testing.assert_array_equal(engine.embed(pixels[3:17]), features[3:17])

    def test_no_images_give_no_features(
        self, untrained: Network, pixels: Pixels, name: str
    ) -> None:
        assert open_engine(untrained, "fp32", name).embed(pixels[:0]).shape == (0, 1280)

    def test_memory_is_neither_kept_nor_written(
        self, untrained: Network, pixels: Pixels, name: str
    ) -> None:
        engine = open_engine(untrained, "fp32", name)
        frozen = pixels[:BATCH].copy()
        frozen.flags.writeable = False
        first = engine.embed_batch(frozen)
        kept = first.copy()
        engine.embed_batch(pixels[BATCH : 2 * BATCH])
        np.testing.assert_array_equal(first, kept)
        np.testing.assert_array_equal(frozen, pixels[:BATCH])

    def test_strided_pixels_are_read_correctly(
        self, untrained: Network, pixels: Pixels, name: str
    ) -> None:
        engine = open_engine(untrained, "fp32", name)
        mirrored = pixels[:BATCH, :, ::-1]
        np.testing.assert_array_equal(
            engine.embed(mirrored), engine.embed(np.ascontiguousarray(mirrored))
        )

    def test_pixels_of_another_kind_are_refused(
        self, untrained: Network, pixels: Pixels, name: str
    ) -> None:
        engine = open_engine(untrained, "fp32", name)
        with pytest.raises(ValueError, match=r"float64 of shape .* must be uint8"):
            engine.embed(pixels / 255)
        with pytest.raises(ValueError, match=r"must be uint8 of shape \(N, 224, 224, 3\)"):
            engine.embed(pixels[:, :100])

    def test_untrained_features_are_alive(
        self, untrained: Network, pixels: Pixels, name: str
    ) -> None:
        features = open_engine(untrained, "fp32", name).embed(pixels)
        assert np.isfinite(features).all()
        assert (features.std(axis=0) > 0).mean() > 0.9
        assert np.linalg.matrix_rank(features - features.mean(axis=0)) == len(pixels) - 1

    def test_the_network_has_not_changed(
        self, untrained: Network, pixels: Pixels, name: str
    ) -> None:
        features = open_engine(untrained, "fp32", name).embed(pixels[:1])[0]
        np.testing.assert_allclose(features[:6], GOLDEN, rtol=1e-4, atol=1e-4)


GOLDEN = (3.35072, 0.0578567, 0, 0.0467846, 0.329305, 0)
"""First features of the first picture; the same code met Keras' features to 5e-5."""


@needs_openvino
class TestPrecision:
    def test_fp32_is_fp32_even_where_bf16_is_native(
        self, untrained: Network, pixels: Pixels
    ) -> None:
        fast = open_engine(untrained, "fp32", "openvino").embed(pixels)
        slow = open_engine(untrained, "fp32", "onnxruntime").embed(pixels)
        np.testing.assert_allclose(fast, slow, atol=1e-4)

    @pytest.mark.slow
    @needs_bf16
    def test_mixed_lies_between_bf16_and_fp32(self, untrained: Network) -> None:
        config = SynthConfig(classes=16, per_class=1, seed=5)
        drawn = np.stack([resize(draw(kind, 0, config), (224, 224)) for kind in range(16)])
        exact = open_engine(untrained, "fp32").embed(drawn)
        error = {
            precision: float(np.abs(open_engine(untrained, precision).embed(drawn) - exact).mean())
            for precision in ("mixed", "bf16")
        }
        assert 1e-4 < error["mixed"] < error["bf16"]

    @needs_bf16
    def test_a_network_without_a_plan_has_no_mixed_precision(self, untrained: Network) -> None:
        planless = dataclasses.replace(untrained, mixed=None)
        with pytest.raises(PrecisionError, match="no plan for mixed precision"):
            open_engine(planless, "mixed", "openvino")

    @needs_bf16
    def test_the_planned_layers_compute_in_fp32_and_all_others_in_bf16(
        self, untrained: Network
    ) -> None:
        engine = open_engine(untrained, "mixed")
        assert isinstance(engine, engines.OpenVinoEngine)
        found = dict(mixed.precisions(engine._request.get_compiled_model()))
        assert len(found) == 52
        in_fp32 = {layer for layer, precision in found.items() if precision == "f32"}
        assert in_fp32 == {"expanded_conv_depthwise", "expanded_conv_project"}
        assert {found[layer] for layer in set(found) - in_fp32} == {"bf16"}

    @needs_bf16
    def test_where_the_marks_do_nothing_it_is_refused(
        self, untrained: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engines, "_open", {})
        monkeypatch.setattr(mixed, "mark_precise", lambda core, model, names: model)
        with pytest.raises(PrecisionError, match="expanded_conv_depthwise in bf16, not in f32"):
            open_engine(untrained, "mixed", "openvino")

    @needs_bf16
    def test_where_the_marks_cannot_be_compiled_it_is_refused(
        self, untrained: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("object is not initialized")

        monkeypatch.setattr(engines, "_open", {})
        monkeypatch.setattr(mixed, "keep_fp32", fail)
        with pytest.raises(PrecisionError, match="object is not initialized"):
            open_engine(untrained, "mixed", "openvino")

    @pytest.mark.parametrize("precision", ["mixed", "bf16"])
    def test_without_native_bf16_it_is_refused(
        self, untrained: Network, monkeypatch: pytest.MonkeyPatch, precision: str
    ) -> None:
        monkeypatch.setattr(engines, "_open", {})
        monkeypatch.setattr(engines, "native_bf16", lambda: False)
        with pytest.raises(PrecisionError, match="AMX or AVX512-BF16") as error:
            open_engine(untrained, precision, "openvino")
        assert "--precision fp32" in error.value.remedy


@pytest.fixture(scope="module")
def network() -> Network:
    """The one that ships in the package, trained for bf16 in all its layers."""
    return registry.load("embedded")


@pytest.fixture(scope="module")
def drawn() -> Pixels:
    """Drawn pictures of 16 classes: (64, 96, 96, 3)."""
    config = SynthConfig(classes=16, per_class=4, seed=5)
    pictures = [draw(kind, number, config) for kind in range(16) for number in range(4)]
    return np.stack([resize(picture, embedded.PREPROCESSING.size) for picture in pictures])


class TestEmbedded:
    @needs_openvino
    def test_fp32_is_the_same_in_every_engine(self, network: Network, drawn: Pixels) -> None:
        fast = open_engine(network, "fp32", "openvino").embed(drawn)
        slow = open_engine(network, "fp32", "onnxruntime").embed(drawn)
        assert smallest_cosine(fast, slow) >= 0.999999

    @needs_bf16
    def test_every_layer_computes_in_bf16(self, network: Network) -> None:
        engine = open_engine(network, "mixed")
        assert isinstance(engine, engines.OpenVinoEngine)
        found = dict(mixed.precisions(engine._request.get_compiled_model()))
        assert found == {layer.name: "bf16" for layer in embedded.LAYERS}

    @needs_bf16
    def test_a_layer_left_in_fp32_would_be_noticed(
        self, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engines, "_open", {})
        marked = mixed.names_to_mark
        monkeypatch.setattr(mixed, "names_to_mark", lambda model, _: marked(model, ["head"]))
        with pytest.raises(PrecisionError, match="head in f32, not in bf16"):
            open_engine(network, "mixed", "openvino")

    @needs_bf16
    def test_a_plan_without_layers_costs_no_detour(
        self, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engines, "_open", {})
        monkeypatch.delattr(mixed, "mark_precise")
        assert open_engine(network, "mixed", "openvino").precision == "mixed"

    @needs_bf16
    def test_bf16_keeps_the_contract_on_drawn_pictures(
        self, network: Network, drawn: Pixels
    ) -> None:
        assert bf16_cosine(network, drawn) >= 0.999

    @needs_bf16
    @pytest.mark.filterwarnings("ignore:Palette images with Transparency:UserWarning")
    def test_bf16_keeps_the_contract_on_photographs(
        self, network: Network, shared_data: Path
    ) -> None:
        paths = np.load(shared_data / "reference" / "keras_features.npz")["path"]
        photographs = [
            resize(
                np.asarray(Image.open(shared_data / path).convert("RGB")),
                embedded.PREPROCESSING.size,
            )
            for path in paths
            if path.startswith("photos/")
        ]
        assert len(photographs) == 100
        assert bf16_cosine(network, np.stack(photographs)) >= 0.999


def bf16_cosine(network: Network, pixels: Pixels) -> float:
    """Smallest cosine of the fast precision to the network's own float32."""
    return smallest_cosine(
        open_engine(network, "mixed").embed(pixels), open_engine(network, "fp32").embed(pixels)
    )


def test_a_layer_is_known_by_its_own_name_whatever_is_fused_into_it() -> None:
    names = {"a/sum/WithoutBiases,a": "bf16", "b,c/added,c": "f32", "d": "bf16"}
    nodes = [
        executed(layerType="Convolution", originalLayersNames=origin, runtimePrecision=precision)
        for origin, precision in names.items()
    ]
    nodes.append(executed(layerType="Subgraph", originalLayersNames="e", runtimePrecision="f32"))
    runtime = SimpleNamespace(get_ordered_ops=lambda: nodes)
    compiled = SimpleNamespace(get_runtime_model=lambda: runtime)
    assert dict(mixed.precisions(compiled)) == {"a": "bf16", "b": "f32", "d": "bf16"}
    assert mixed.departures(compiled, ["d"]) == [
        "b in f32, not in bf16",
        "d in bf16, not in f32",
    ]


def executed(**info: str) -> SimpleNamespace:
    """A node of a compiled network, as OpenVINO shows it."""
    values = {
        name: SimpleNamespace(astype=lambda _, value=value: value) for name, value in info.items()
    }
    return SimpleNamespace(get_rt_info=lambda: values)


class TestOpening:
    def test_an_engine_is_compiled_once_per_process(self, untrained: Network) -> None:
        again = dataclasses.replace(untrained, licence="unchanged in what it computes")
        engine = open_engine(untrained, "fp32", "onnxruntime")
        assert open_engine(again, "fp32", "onnxruntime") is engine
        assert (engine.name, engine.precision, engine.n_features) == ("onnxruntime", "fp32", 1280)

    @needs_openvino
    def test_auto_prefers_openvino(self, untrained: Network) -> None:
        assert open_engine(untrained, "fp32").name == "openvino"

    def test_auto_does_without_openvino(
        self, untrained: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engines, "_open", {})
        monkeypatch.setattr(engines, "_has_openvino", lambda: False)
        assert open_engine(untrained, "fp32").name == "onnxruntime"
        assert not native_bf16()
        with pytest.raises(PrecisionError, match="OpenVINO is not installed"):
            open_engine(untrained, "fp32", "openvino")

    def test_onnx_runtime_computes_fp32_only(self, untrained: Network) -> None:
        with pytest.raises(PrecisionError, match="mixed needs OpenVINO"):
            open_engine(untrained, "mixed", "onnxruntime")

    def test_unknown_words_are_refused(self, untrained: Network) -> None:
        with pytest.raises(ValueError, match="'auto', must be one of fp32, mixed, bf16"):
            open_engine(untrained, "auto")
        with pytest.raises(ValueError, match="'tensorrt', must be one of auto, openvino"):
            open_engine(untrained, "fp32", "tensorrt")

    @pytest.mark.parametrize(
        ("flags", "expected"),
        [
            ("fpu sse2 avx512f avx512_bf16", True),
            ("fpu sse2 amx_tile amx_bf16", True),
            ("fpu sse2 avx512f avx512_bf16_like", False),
            ("fpu sse2 avx2", False),
        ],
    )
    def test_bf16_is_read_from_the_cpu(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, expected: bool
    ) -> None:
        monkeypatch.setattr(engines, "_has_openvino", lambda: True)
        cpuinfo = tmp_path / "cpuinfo"
        cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: spectre_v1\n")
        assert native_bf16(cpuinfo) is expected
        assert not native_bf16(tmp_path / "none")


class TestCosine:
    @pytest.mark.parametrize(
        ("left", "right", "expected"),
        [
            ([[1, 0], [1, 1]], [[2, 0], [1, 0]], 2**-0.5),
            ([[1, 2]], [[-1, -2]], -1),
            ([[0, 0]], [[0, 0]], 1),
            ([[0, 0]], [[1, 0]], 0),
            ([[1, np.nan]], [[1, 0]], -1),
            ([[1, 0]], [[np.inf, 0]], -1),
            ([[1e30, 1e30]], [[1e30, 1e30]], 1),
        ],
    )
    def test_the_worst_row_counts(
        self, left: list[list[float]], right: list[list[float]], expected: float
    ) -> None:
        a, b = np.array(left, np.float32), np.array(right, np.float32)
        assert smallest_cosine(a, b) == pytest.approx(expected, abs=1e-12)

    def test_no_rows_disagree_with_nothing(self) -> None:
        assert smallest_cosine(np.empty((0, 3)), np.empty((0, 3))) == 1

    def test_shapes_must_match(self) -> None:
        with pytest.raises(ValueError, match=r"\(2, 3\) and \(1, 3\)"):
            smallest_cosine(np.ones((2, 3)), np.ones((1, 3)))


@dataclasses.dataclass
class Reference:
    """Real pictures through real weights, by Keras."""

    network: Network
    pixels: Pixels
    features: npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def keras(shared_data: Path) -> Reference:
    stored = np.load(shared_data / "reference" / "keras_features.npz")
    (weights,) = (shared_data / "weights").glob("*.h5")
    pictures = [Image.open(shared_data / path) for path in stored["path"]]
    pixels = [
        np.asarray(picture.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC))
        for picture in pictures
    ]
    network = registry.load("mobilenetv2", weights)
    return Reference(network, np.stack(pixels), stored["features"])


@pytest.mark.filterwarnings("ignore:Palette images with Transparency:UserWarning")
class TestParityWithKeras:
    """Random weights hide what rounding does to trained ones: these numbers need the real ones."""

    @pytest.mark.slow
    @pytest.mark.parametrize("name", HERE)
    def test_fp32_is_keras_on_every_picture(self, keras: Reference, name: str) -> None:
        features = open_engine(keras.network, "fp32", name).embed(keras.pixels)
        bound = BOUNDS["fp32"]
        assert bound is not None
        assert smallest_cosine(features, keras.features) >= bound
        np.testing.assert_allclose(features, keras.features, atol=1e-4)

    @pytest.mark.slow
    @needs_bf16
    def test_mixed_keeps_the_default_contract_with_room_to_spare(self, keras: Reference) -> None:
        bound = BOUNDS["auto"]
        assert bound is not None
        assert self.mixed_cosine(keras) >= bound + 0.0003

    @pytest.mark.slow
    @needs_bf16
    @pytest.mark.parametrize(
        ("module", "function", "without"),
        [
            (correction, "lost_mean", lambda *_: 0),
            (mixed, "keep_biases", lambda *_: None),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_no_correction_is_idle(
        self,
        keras: Reference,
        monkeypatch: pytest.MonkeyPatch,
        module: ModuleType,
        function: str,
        without: Callable[..., object],
    ) -> None:
        monkeypatch.setattr(engines, "_open", {})
        monkeypatch.setattr(module, function, without)
        uncorrected = dataclasses.replace(keras, network=dataclasses.replace(keras.network))
        assert self.mixed_cosine(uncorrected) < 0.9993

    def mixed_cosine(self, keras: Reference) -> float:
        """Smallest cosine of mixed precision to Keras."""
        return smallest_cosine(
            open_engine(keras.network, "mixed").embed(keras.pixels), keras.features
        )

    @pytest.mark.slow
    @needs_bf16
    def test_plain_bf16_would_not(self, keras: Reference) -> None:
        features = open_engine(keras.network, "bf16").embed(keras.pixels)
        assert 0.96 < smallest_cosine(features, keras.features) < 0.99
