"""``models certify`` finds what other pipelines do otherwise, and nothing where all is right."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from PIL import Image, ImageOps

from featuremill.cli import main
from featuremill.errors import ConfigError, SourceError
from featuremill.images.synth import SynthConfig, draw
from featuremill.models import certificate, registry
from featuremill.models.reference import Reference
from featuremill.workflows.certify import CertifyConfig, certify, near, other_features
from featuremill.workflows.certify.culprit import find
from tests.own_networks import TINY, real_network, save, transformer

NETWORKS = {
    "tiny": ("last_hidden_state", 72, Image.Resampling.BICUBIC, 1 / 255),
    "nsfw": ("Reshape:0", (256, 256), Image.Resampling.BILINEAR, 1.0),
    "orientation": ("p2o.pd_op.dropout.0.0", 256, Image.Resampling.LANCZOS, 1 / 255),
}
FAULTS = {
    "squashed": "the whole image squeezed to",
    "filter": "nearest in place of",
    "channels": "in place of",
    "mean": "mean",
    "unsmoothed": "bilinear without antialiasing",
    "sideways": "EXIF's orientation ignored",
    "black": "transparent pixels on black",
    "tensor": "tensor",
}
"""Each fault, and what its name must begin with or hold."""


def other_pipeline(name: str, folder: Path, fault: str = "") -> Callable[[bytes], np.ndarray]:
    """Features by somebody else's few lines of Pillow, NumPy and ONNX Runtime, maybe wrong ones."""
    output, edge, resample, scale = NETWORKS[name]
    described = registry.onnx_file.read(folder).preprocessing
    side = described.size[0]
    model = onnx.load(str(folder / "model.onnx"))
    other = {"nsfw": "Add_15:0", "orientation": "p2o.pd_op.conv2d.18.0"}.get(name, output)
    wanted = other if fault == "tensor" else output
    if wanted not in [each.name for each in model.graph.output]:
        model.graph.output.append(onnx.ValueInfoProto(name=wanted))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    if fault == "filter":
        resample = Image.Resampling.NEAREST

    def shrink(image: Image.Image, size: tuple[int, int]) -> Image.Image:
        if fault != "unsmoothed":
            return image.resize(size, resample)
        steps = (image.width / size[0], 0, 0, 0, image.height / size[1], 0)
        # as floats, which Pillow does not cut off
        bands = [
            band.convert("F").transform(
                size, Image.Transform.AFFINE, steps, Image.Resampling.BILINEAR
            )
            for band in image.split()
        ]
        return Image.fromarray(np.rint(np.stack(bands, axis=2)).astype(np.uint8))

    def features(data: bytes) -> np.ndarray:
        image = Image.open(io.BytesIO(data))
        if fault != "sideways":
            image = ImageOps.exif_transpose(image)
        if fault == "black" and image.mode == "RGBA":
            canvas = Image.new("RGBA", image.size, "black")
            image = Image.alpha_composite(canvas, image)
        image = image.convert("RGB")
        if fault == "squashed":
            image = shrink(image, (side, side))
        elif isinstance(edge, int):
            ratio = edge / min(image.size)
            wide = edge if image.width <= image.height else int(image.width * ratio)
            high = edge if image.height <= image.width else int(image.height * ratio)
            image = shrink(image, (wide, high))
        else:
            image = shrink(image, edge)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        levels = np.asarray(image.crop((left, top, left + side, top + side)), np.float32)
        if (described.channels == "BGR") != (fault == "channels"):
            levels = levels[..., ::-1]
        mean = np.array(described.mean)
        if fault == "mean":
            mean = mean / 255 if scale == 1 else mean * 255
        normal = ((levels * scale - mean) / np.array(described.std)).astype(np.float32)[None]
        if described.layout == "NCHW":
            normal = normal.transpose(0, 3, 1, 2)
        (row,) = session.run([wanted], {session.get_inputs()[0].name: normal})
        if name == "tiny":
            row = row.mean(1) if fault == "tensor" else row[:, 0]
        elif fault == "tensor":
            row = row.mean((2, 3) if row.shape[2] == row.shape[3] else (1, 2))
        return row.ravel()

    return features


def encoded(image: Image.Image, form: str = "PNG", **how: object) -> bytes:
    data = io.BytesIO()
    image.save(data, form, **how)
    return data.getvalue()


@pytest.fixture(scope="module")
def images() -> list[bytes]:
    """Drawn pictures of many shapes, one of them turned by EXIF, one with alpha over it."""
    config = SynthConfig(classes=6, per_class=1)
    shapes = [(300, 200), (200, 320), (256, 256), (140, 333), (500, 300), (310, 410)]
    drawn = [
        Image.fromarray(draw(kind, 0, config)).resize(shape) for kind, shape in enumerate(shapes)
    ]
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = drawn[1].convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    jpegs = [encoded(image, "JPEG", quality=92) for image in drawn]
    return [encoded(drawn[0], exif=turned), encoded(clear), *jpegs]


def network_of(name: str, folder: Path) -> registry.Network:
    if name == "tiny":
        return registry.load(str(save(folder / "tiny", transformer())), pool="cls")
    (folder / name).mkdir()
    place, published = real_network(name, folder / name)
    return registry.load(str(place), output=published.output)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    "name",
    ["tiny", *(pytest.param(name, marks=pytest.mark.long) for name in ("nsfw", "orientation"))],
)
def test_a_fault_is_named(tmp_path, images, name, fault):
    network = network_of(name, tmp_path)
    right = other_pipeline(name, Path(network.location))
    wrong = other_pipeline(name, Path(network.location), fault)
    before, after = (np.stack([each(data) for data in images]) for each in (right, wrong))
    found = find(Reference(network), images, after, before)
    assert found.explains, found
    assert FAULTS[fault] in found.name
    assert found.before < 0.9999 <= found.cosine


SOUND = {
    "cls": ({}, TINY, "cls"),
    "mean": ({}, TINY, "mean"),
    "fixed batch": ({"batch": 1}, TINY, "cls"),
    "opset 9": ({"opset": 9}, TINY, "mean"),
    "opset 23": ({"opset": 23}, TINY, "cls"),
    "bilinear": ({}, TINY + 'resample = "bilinear"\n', "cls"),
    "nearest": ({}, TINY + 'resample = "nearest"\n', "cls"),
    "blue first": ({}, TINY + 'channels = "BGR"\n', "cls"),
    "padded": ({}, TINY.replace("resize = 72\n", "pad = [9, 9, 9]\n"), "mean"),
    "squeezed": ({}, TINY.replace("resize = 72\n", ""), "mean"),
}


@pytest.fixture(scope="module")
def folder_of_images(tmp_path_factory, images) -> Path:
    folder = tmp_path_factory.mktemp("certified") / "images"
    folder.mkdir()
    for number, data in enumerate(images):
        (folder / f"{number}.jpg").write_bytes(data)
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.mark.parametrize("name", SOUND)
def test_nothing_is_found_where_all_is_right(tmp_path, folder_of_images, name):
    how, text, pool = SOUND[name]
    folder = save(tmp_path / "net", transformer(**how), text)
    made = certify(CertifyConfig(str(folder), str(folder_of_images), pool=pool))
    assert made["certified"], made["checks"]
    assert (made["compared"], made["left_out"], made["culprits"]) == (8, 1, [])
    names = {check["name"] for check in made["checks"]}
    assert names >= {"reference", "batch", "position", "threads", "engine", "neighbours"}
    assert made["near"] is None


def test_the_command_compares_another_programs_features_and_says_what_it_did(
    tmp_path, folder_of_images, images
):
    folder = save(tmp_path / "tiny", transformer())
    paths = [f"images/{number}.jpg" for number in range(len(images))]
    asked = ["models", "certify", str(folder), str(folder_of_images), "--pool", "cls"]
    for fault, code, said in (
        ("", 0, "certified"),
        ("channels", 1, "The other features are explained by BGR in place of RGB (cosine 1.0000"),
    ):
        compute = other_pipeline("tiny", folder, fault)
        features = np.stack([compute(data) for data in images])
        np.savez(tmp_path / "other.npz", paths=paths, features=features)
        result = CliRunner().invoke(main, [*asked, "--against", str(tmp_path / "other.npz")])
        assert result.exit_code == code, result.output
        assert said in result.output
    page = (folder / "certificate.html").read_text()
    assert "Not certified" in page
    assert "BGR in place of RGB" in page
    made = json.loads((folder / "certificate.json").read_text())
    assert [check["name"] for check in made["checks"] if check["status"] == "failed"] == ["against"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"path": ["a"], "features": [[1.0]]}, "it must hold paths and features"),
        ({"paths": ["a", "b"], "features": [[1.0]]}, r"they must be \(n,\) and \(n, d\)"),
    ],
)
def test_other_features_that_do_not_fit_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(ConfigError, match=message):
        other_features.read(str(tmp_path / "other.npz"))


def test_paths_are_the_same_where_they_end_alike():
    ours = ["/photos/a/1.jpg", "/photos/b/1.jpg", "/photos/b/2.jpg"]
    assert other_features.places(ours, ["b/1.jpg", "2.jpg", "a/1.jpg"]) == {0: 2, 1: 0, 2: 1}
    with pytest.raises(SourceError, match="is the end of a path of IMAGES"):
        other_features.places(ours, ["3.jpg"])


def test_near_tells_copies_from_others():
    random = np.random.default_rng(3)
    originals = random.normal(size=(30, 16)).astype(np.float32) + 1
    copies = [originals + random.normal(scale=0.1, size=originals.shape) for _ in range(3)]
    found = near.measure(originals, [copy.astype(np.float32) for copy in copies])
    assert found.recall == 1
    assert found.false_pairs == 0
    assert 0.8 < found.cosine < 0.995


def test_duplicates_takes_the_threshold_from_the_certificate(tmp_path):
    folder = save(tmp_path / "tiny", transformer())
    network = registry.load(str(folder), pool="cls").description("fp32")
    assert certificate.near_of(network) is None
    made = {"network": network, "near": {"cosine": 0.93}}
    (folder / certificate.JSON).write_text(json.dumps(made))
    assert certificate.near_of(network) == 0.93
    assert certificate.near_of({**network, "fingerprint": "another"}) is None
