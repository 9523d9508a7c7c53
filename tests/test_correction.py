"""Biases make up for rounded kernels."""

import dataclasses
import pickle

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from featuremill.models import correction, mobilenetv2, registry
from featuremill.models.network import Network


@pytest.fixture(scope="module")
def untrained() -> Network:
    return registry.load("mobilenetv2-untrained").ready_for("mixed")


def tensors(graph: bytes) -> dict[str, np.ndarray]:
    initializers = onnx.load_from_string(graph).graph.initializer
    return {each.name: numpy_helper.to_array(each) for each in initializers}


def with_rounded_kernels(graph: bytes) -> onnx.ModelProto:
    model = onnx.load_from_string(graph)
    for each in model.graph.initializer:
        layer, _, field = each.name.partition("/")
        if field == "kernel" and layer not in mobilenetv2.MIXED.fp32:
            kernel = correction.to_bf16(numpy_helper.to_array(each))
            each.CopyFrom(numpy_helper.from_array(kernel, each.name))
    return model


class TestBf16:
    @pytest.mark.parametrize(
        ("number", "expected"),
        [
            (1, 1),
            (1 + 2**-8, 1),  # a tie goes to the even neighbour
            (1 + 3 * 2**-8, 1 + 2**-6),
            (1 + 2**-8 + 2**-20, 1 + 2**-7),
            (-1 - 2**-7 - 2**-9, -1 - 2**-7),
            (0.0, 0.0),
        ],
    )
    def test_it_is_rounded_as_processors_do(self, number: float, expected: float) -> None:
        assert correction.to_bf16(np.array([number], np.float32)) == [expected]


class TestLostMean:
    @pytest.mark.parametrize("depthwise", [True, False])
    def test_it_is_what_the_mean_picture_loses(self, depthwise: bool) -> None:
        random = np.random.default_rng(0)
        means = random.random(5)
        error = random.normal(size=(5, 1, 3, 3) if depthwise else (7, 5, 1, 1)).astype(np.float32)
        flat = means[:, None, None] if depthwise else means[None, :, None, None]
        expected = [
            (kernel * (flat[channel] if depthwise else flat[0])).sum()
            for channel, kernel in enumerate(error)
        ]
        np.testing.assert_allclose(correction.lost_mean(error, means), expected, atol=1e-6)


class TestNetwork:
    def test_all_biases_change_but_those_of_layers_in_fp32(self, untrained: Network) -> None:
        before, after = tensors(untrained.onnx), tensors(untrained.corrected)
        changed = {name for name in before if not np.array_equal(after[name], before[name])}
        in_bf16 = {layer.name for layer in mobilenetv2.LAYERS} - set(mobilenetv2.MIXED.fp32)
        assert changed == {f"{layer}/bias" for layer in in_bf16}

    @pytest.mark.slow
    def test_rounded_kernels_give_the_means_of_exact_ones(self, untrained: Network) -> None:
        pixels = correction.calibration_pictures((224, 224))
        exact, corrected, uncorrected = (
            correction.channel_means(graph, pixels)["block_16_project"]
            for graph in (
                onnx.load_from_string(untrained.onnx),
                with_rounded_kernels(untrained.corrected),
                with_rounded_kernels(untrained.onnx),
            )
        )
        assert np.abs(corrected - exact).mean() < np.abs(uncorrected - exact).mean() / 3

    def test_correction_gives_the_same_bytes_each_time(self, untrained: Network) -> None:
        assert dataclasses.replace(untrained).corrected == untrained.corrected

    def test_it_is_done_where_the_network_comes_from(
        self, untrained: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(correction, "correct_biases")
        arrived = pickle.loads(pickle.dumps(untrained))
        assert arrived.corrected == untrained.corrected

    def test_kernels_that_are_bf16_already_need_no_correction(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(correction, "calibration_pictures")
        embedded = registry.load("embedded")
        travelling = len(pickle.dumps(embedded))
        assert embedded.ready_for("mixed").corrected is embedded.onnx
        assert len(pickle.dumps(embedded)) < travelling + 100

    def test_other_precisions_do_without(self) -> None:
        network = registry.load("mobilenetv2-untrained")
        assert "corrected" not in vars(network.ready_for("fp32").ready_for("bf16"))
