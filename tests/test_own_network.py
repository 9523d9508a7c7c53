"""Somebody else's ONNX file gives here what it gives in ONNX Runtime with Pillow."""

import contextlib
import dataclasses
import io
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto
from PIL import Image, ImageOps

from featuremill.errors import ModelError
from featuremill.export.forms.onnx import build
from featuremill.images import decode
from featuremill.images.decode import Limits
from featuremill.images.preprocessing import Preprocessing
from featuremill.images.synth import SynthConfig, draw
from featuremill.models import onnx_features, onnx_file, registry
from featuremill.models.engines import open_engine, smallest_cosine
from featuremill.models.network import Network
from featuremill.models.reference import Reference
from featuremill.pca.components import PCA
from featuremill.pca.moments import Moments
from featuremill.storage import open_store
from featuremill.storage.listing import Listing, Selection
from featuremill.storage.listing import Reference as Listed
from featuremill.workflows.run import parity
from featuremill.workflows.run.dispatch import EmbeddingWork
from featuremill.workflows.run.task import Task
from tests.own_networks import REAL, TINY, WIDTH, real_network, save, transformer

SIZES = [(100, 150), (150, 100), (64, 64), (31, 300), (300, 20), (1, 1), (256, 256), (513, 255)]


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    config = SynthConfig(classes=4, per_class=2)
    drawn = [draw(kind, number, config) for kind in range(4) for number in range(2)]
    return [
        np.asarray(Image.fromarray(rgb).resize((width, height)))
        for rgb, (height, width) in zip(drawn, SIZES, strict=True)
    ]


def ours(network: Network, pictures: list[np.ndarray], engine: str = "auto") -> np.ndarray:
    pixels = np.stack([network.preprocessing.apply(rgb) for rgb in pictures])
    return open_engine(network, "fp32", engine).embed(pixels)


def theirs(network: Network, pictures: list[np.ndarray]) -> np.ndarray:
    reference = Reference(network)
    return np.stack([reference.features(rgb) for rgb in pictures])


@pytest.fixture
def folder(tmp_path):
    return save(tmp_path / "tiny", transformer())


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_a_transformer(folder, pictures, pool, engine):
    network = registry.load(str(folder), pool=pool)
    assert (network.name, network.n_features, network.output) == (
        "tiny",
        WIDTH,
        "last_hidden_state",
    )
    features = ours(network, pictures, engine)
    assert smallest_cosine(features, theirs(network, pictures)) >= 0.9999
    alone = np.concatenate([ours(network, [each], engine) for each in pictures])
    np.testing.assert_array_equal(features, alone)


@pytest.mark.parametrize("name", REAL)
def test_real_networks(tmp_path, pictures, name):
    folder, published = real_network(name, tmp_path)
    network = registry.load(str(folder), output=published.output)
    assert network.n_features == published.n_features
    features, expected = ours(network, pictures), theirs(network, pictures)
    assert smallest_cosine(features, expected) >= 0.9999
    stretched = Preprocessing(network.input_size)
    wrong = dataclasses.replace(network, preprocessing=stretched)
    if network.preprocessing.target != network.input_size:
        assert smallest_cosine(ours(wrong, pictures), expected) < 0.9999


@pytest.mark.parametrize(
    "how",
    [
        {"batch": 1},
        {"opset": 9},
        {"opset": 23},
        {"elem_type": TensorProto.FLOAT16},
        {"side": 96},
    ],
    ids=str,
)
def test_other_exports(tmp_path, pictures, how):
    text = TINY.replace("[64, 64]", "[96, 96]").replace("72", "100") if "side" in how else TINY
    network = registry.load(str(save(tmp_path / "n", transformer(**how), text)), pool="mean")
    # half precision is float32 here, in between
    bound = 0.999 if "elem_type" in how else 0.9999
    assert smallest_cosine(ours(network, pictures), theirs(network, pictures)) >= bound


def test_weights_in_a_file_of_their_own(tmp_path, pictures):
    inside = registry.load(str(save(tmp_path / "inside", transformer())), pool="cls")
    folder = save(tmp_path / "outside", transformer())
    onnx.save(
        onnx.load(str(folder / "model.onnx")),
        str(folder / "model.onnx"),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    outside = registry.load(str(folder), pool="cls")
    np.testing.assert_array_equal(ours(outside, pictures), ours(inside, pictures))
    os.truncate(folder / "weights.bin", 2_500_000_000)
    with pytest.raises(ModelError, match=r"has 2\.5 GB with its weights"):
        onnx_file.read(folder)


def test_an_inner_tensor_and_no_more_of_the_graph_than_it_needs(folder, pictures):
    whole = registry.load(str(folder), pool="mean")
    network = registry.load(str(folder), output="pooled")
    assert len(network.onnx) < len(whole.onnx)
    assert smallest_cosine(ours(network, pictures), theirs(network, pictures)) >= 0.9999


def test_what_is_embedded_is_part_of_the_identity(folder):
    asked = [{"pool": "cls"}, {"pool": "mean"}, {"output": "pooled"}, {"output": "logits"}]
    identities = {registry.load(str(folder), **each).model_id("fp32") for each in asked}
    (folder / "preprocessing.toml").write_text(TINY.replace("72", "73"))
    identities.add(registry.load(str(folder), pool="cls").model_id("fp32"))
    assert len(identities) == 5


REFUSED = [
    ({}, "last_hidden_state .* has 3 axes: it needs --pool"),
    ({"output": "pooled", "pool": "cls"}, "has 2 axes: --pool cls is not for it"),
    ({"output": "nowhere"}, "--output is nowhere, which is no tensor"),
    ({"pool": "max"}, "--pool is max, it must be cls or mean"),
]


@pytest.mark.parametrize(("asked", "message"), REFUSED)
def test_what_cannot_be_embedded_is_refused(folder, asked, message):
    with pytest.raises(ModelError, match=message):
        registry.load(str(folder), **asked)


def test_scores_of_classes_are_no_features_and_the_tensor_before_them_is_named(tmp_path):
    model = transformer()
    del model.graph.output[0]
    with pytest.raises(ModelError, match="scores of classes") as refused:
        registry.load(str(save(tmp_path / "n", model)))
    assert "--output pooled" in refused.value.remedy


@pytest.mark.parametrize(
    ("how", "text", "message"),
    [
        ({"opset": 6}, TINY, "is of opset 6, it must be from 7 to 23"),
        ({"batch": 4}, TINY, "takes 4 images at a time"),
        ({}, TINY.replace("[64, 64]", "[48, 64]"), "takes images of 64 x 64 pixels"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, how, text, message):
    with pytest.raises(ModelError, match=message):
        registry.load(str(save(tmp_path / "n", transformer(**how), text)), pool="cls")


def test_a_file_of_more_than_two_gigabytes_is_refused_before_it_is_read(folder):
    # a file with a hole takes no room
    os.truncate(folder / "model.onnx", 2_500_000_000)
    with pytest.raises(ModelError, match=r"has 2\.5 GB with its weights, it must be at most 2 GB"):
        onnx_file.read(folder)


def test_it_must_be_clear_which_file_is_meant(tmp_path, folder):
    (folder / "model.onnx").rename(folder / "a.onnx")
    assert registry.load(str(folder), pool="cls").name == "tiny"
    (folder / "b.onnx").write_bytes((folder / "a.onnx").read_bytes())
    with pytest.raises(ModelError, match=r"it holds a.onnx, b.onnx"):
        registry.load(str(folder), pool="cls")
    assert registry.load(str(folder / "b.onnx"), pool="cls").name == "b.onnx"
    (folder / "b.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="Cannot read"):
        registry.load(str(folder / "b.onnx"), pool="cls")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="it holds none"):
        registry.load(str(tmp_path / "empty"))


def test_a_destination_says_how_to_load_its_network_again(folder, tmp_path):
    network = registry.load(str(folder), pool="cls")
    held = network.description("fp32")
    assert registry.load_held(held).fingerprint == network.fingerprint
    moved = folder.rename(tmp_path / "elsewhere")
    assert registry.load_held(held, moved).fingerprint == network.fingerprint


def write(folder, number, picture, **how):
    encoded = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(encoded, **{"format": "PNG", **how})
    (folder / f"{number}.png").write_bytes(encoded.getvalue())


@pytest.fixture
def task(tmp_path, pictures):
    """A task over pictures, one of them turned by EXIF, one with alpha over bright pixels."""
    source = tmp_path / "pictures"
    source.mkdir()
    for number, picture in enumerate(pictures[:4]):
        write(source, number, picture)
    turned = Image.Exif()
    turned[0x0112] = 6
    write(source, 4, pictures[0], exif=turned)
    clear = Image.fromarray(pictures[1]).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    write(source, 5, clear)
    (source / "6.png").write_bytes(b"no picture")
    store = open_store(str(source))
    return Task(store, store, Limits(), Preprocessing((8, 8)), "model", "run", every_pixel=True)


def compare(network: Network, task: Task, **changes: str) -> parity.Parity | None:
    task = dataclasses.replace(task, preprocessing=network.preprocessing)
    work = EmbeddingWork(task, SimpleNamespace(value=network), "fp32", "auto", 20.0, **changes)
    with contextlib.closing(Listing(task.source, Selection())) as listing:
        listed = [item for item in listing if isinstance(item, Listed)]
    return parity.compare(network, work, listed)


def test_the_first_images_are_held_against_the_file_itself(folder, task):
    found = compare(registry.load(str(folder), pool="cls"), task)
    assert found is not None
    assert found.compared == 6
    assert found.smallest_cosine >= 0.9999


class NotSmoothed(Preprocessing):
    def apply(self, rgb: np.ndarray) -> np.ndarray:
        """Bilinear between four pixels, however many lie between, as OpenCV does it."""
        whole = Preprocessing(self.target, self.target, "nearest").apply(rgb)
        return Preprocessing(self.size, self.target, self.resample).apply(whole)


def sideways(data, limits, target=None):
    """A decoder that does not look at EXIF."""
    rgb = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return decode.Decoded(rgb, *rgb.shape[:2])


def on_black(data, limits, target=None):
    """A decoder that lays what is transparent on black."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode == "RGBA":
        canvas = Image.new("RGBA", image.size, "black")
        image = Image.alpha_composite(canvas, image)
    rgb = np.asarray(image.convert("RGB"))
    return decode.Decoded(rgb, *rgb.shape[:2])


FAULTS = {
    "squashed": {"resize": "size"},
    "other filter": {"resample": "nearest"},
    "blue for red": {"channels": "other"},
    "mean of another scale": {"mean": (0.0, 0.0, 0.0)},
    "not smoothed": NotSmoothed,
    "EXIF ignored": "tests.test_own_network:sideways",
    "alpha on black": "tests.test_own_network:on_black",
    "another tensor": "pool",
}


OTHER_TENSORS = {"nsfw": "Add_15:0", "orientation": "p2o.pd_op.conv2d.18.0"}
"""As long as the right one, before the last activation."""


def faulty(network: Network, fault: object, other: Network) -> tuple[Network, dict[str, str]]:
    """A network with a fault in what is done here, while its file stays right."""
    right = network.preprocessing
    if fault == "pool":
        return dataclasses.replace(network, onnx=other.onnx), {}
    if isinstance(fault, str):
        return network, {"decoder": fault}
    if isinstance(fault, dict):
        wrong = {
            name: {"size": right.size, "other": "RGB" if right.channels == "BGR" else "BGR"}.get(
                value if isinstance(value, str) else "", value
            )
            for name, value in fault.items()
        }
        preprocessing = dataclasses.replace(right, **wrong)
    else:
        preprocessing = fault(**vars(right))
    file = onnx_file.read(Path(network.location))
    file = dataclasses.replace(file, preprocessing=preprocessing)
    vector = onnx_features.choose(file, network.output, network.pool or None)
    graph = onnx_features.wrap(file, vector)
    return dataclasses.replace(network, onnx=graph, preprocessing=preprocessing), {}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    "name",
    [
        "tiny",
        pytest.param("nsfw", marks=pytest.mark.long),
        pytest.param("orientation", marks=pytest.mark.long),
    ],
)
def test_a_run_with_a_fault_is_refused(tmp_path, task, name, fault):
    if name == "tiny":
        folder, output, pool = save(tmp_path / "tiny", transformer()), "last_hidden_state", "cls"
        other = registry.load(str(folder), pool="mean")
    else:
        (tmp_path / name).mkdir()
        folder, published = real_network(name, tmp_path / name)
        output, pool, inner = published.output, None, OTHER_TENSORS[name]
        other = registry.load(str(folder), output=inner, pool="mean")
    network = registry.load(str(folder), output=output, pool=pool)
    wrong, changes = faulty(network, FAULTS[fault], other)
    with pytest.raises(ModelError, match="to those of ONNX Runtime and Pillow; it must be at"):
        compare(wrong, task, **changes)


def test_one_file_from_its_pixels_to_components(folder, pictures):
    network = registry.load(str(folder), pool="cls")
    pca = PCA.fit(Moments.of(ours(network, pictures)), n_components=3)
    exported = onnxruntime.InferenceSession(build(network, pca, {}))
    pixels = np.stack([network.preprocessing.apply(rgb) for rgb in pictures])
    features, scores = exported.run(["features", "features_pca"], {"pixels": pixels})
    assert smallest_cosine(features, theirs(network, pictures)) >= 0.9999
    np.testing.assert_allclose(scores, pca.transform(features), rtol=1e-3, atol=1e-3)
