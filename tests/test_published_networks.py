"""Networks known by name become what `--model` takes, and only if each byte is the one expected."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import MappingProxyType

import pytest
from PIL import Image

from featuremill import RunConfig, run
from featuremill.errors import ModelError
from featuremill.models import published_networks, registry
from featuremill.models.preprocessing_files import read_preprocessing
from featuremill.models.published_networks import NETWORKS, PublishedNetwork
from tests.own_networks import TINY, WIDTH, save, transformer


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PublishedNetwork]:
    """A small network on a server of its own, as an entry of the registry."""
    file = save(tmp_path / "served", transformer()) / "model.onnx"
    monkeypatch.setenv("FEATUREMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=file.parent)) as server:
        entry = PublishedNetwork(
            *("tiny", "A small one", f"http://127.0.0.1:{server.server_port}/model.onnx"),
            *(file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest()),
            *(WIDTH, "last_hidden_state", "cls", TINY),
        )
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        know(monkeypatch, entry)
        yield entry
        server.shutdown()
        thread.join()


def know(monkeypatch: pytest.MonkeyPatch, entry: PublishedNetwork) -> None:
    for module in (published_networks, registry):
        monkeypatch.setattr(module, "NETWORKS", MappingProxyType({entry.name: entry}))


def test_a_name_gives_what_its_file_gives(tiny: PublishedNetwork, tmp_path: Path) -> None:
    by_file = registry.load(str(tmp_path / "served"), pool="cls")
    by_name = registry.load("tiny")
    assert by_name.fingerprint == by_file.fingerprint
    assert (by_name.name, by_name.n_features, by_name.pool) == ("tiny", WIDTH, "cls")
    assert by_name.licence == "Apache-2.0"
    assert registry.load("tiny", pool="mean").pool == "mean"


def test_a_run_downloads_checks_and_embeds(tiny: PublishedNetwork, tmp_path: Path) -> None:
    (tmp_path / "images" / "a").mkdir(parents=True)
    for number in range(4):
        Image.new("RGB", (80, 90), (60 * number, 20, 200)).save(
            tmp_path / "images" / "a" / f"{number}.png"
        )
    out = tmp_path / "out"
    run(RunConfig(str(tmp_path / "images"), str(out), model="tiny", n_components=2, workers=1))
    held = json.loads((out / "model" / "network.json").read_text())
    assert (held["name"], held["n_features"]) == ("tiny", WIDTH)
    # a cache that was emptied is filled again
    (tmp_path / "cache" / "tiny").rename(tmp_path / "elsewhere")
    assert registry.load_held(held).fingerprint == held["fingerprint"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sha256": "0" * 64}, "is not the file expected: SHA-256"),
        ({"size": 1_000_000}, "bytes, expected 1,000,000"),
    ],
)
def test_another_file_is_refused(
    tiny: PublishedNetwork,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrong: dict,
    message: str,
) -> None:
    know(monkeypatch, replace(tiny, **wrong))
    with pytest.raises(ModelError, match=message) as error:
        registry.load("tiny")
    assert f"copy of the file at {tmp_path / 'cache' / 'tiny' / 'model.onnx'}" in error.value.remedy
    assert not (tmp_path / "cache" / "tiny" / "model.onnx").exists()


DINOV2 = {
    "crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "do_convert_rgb": True,
    "do_normalize": True, "do_rescale": True, "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406], "image_processor_type": "BitImageProcessor",
    "image_std": [0.229, 0.224, 0.225], "resample": 3, "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 256},
}  # fmt: skip
SIGLIP2 = {
    "do_convert_rgb": None, "do_normalize": True, "do_rescale": True, "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5], "image_processor_type": "SiglipImageProcessor",
    "image_std": [0.5, 0.5, 0.5], "processor_class": "SiglipProcessor", "resample": 2,
    "rescale_factor": 0.00392156862745098, "size": {"height": 224, "width": 224},
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "published"),
    [("dinov2-small", DINOV2), ("dinov2-base", DINOV2), ("siglip2-base", SIGLIP2)],
)
def test_the_preprocessing_is_the_publishers(tmp_path: Path, name: str, published: dict) -> None:
    (tmp_path / "preprocessing.toml").write_text(NETWORKS[name].preprocessing)
    ours, _ = read_preprocessing(tmp_path)
    (tmp_path / "preprocessing.toml").unlink()
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(published))
    assert read_preprocessing(tmp_path)[0] == ours


def test_the_publishers_file_for_siglip2_is_known_to_the_byte() -> None:
    text = json.dumps(SIGLIP2, indent=2) + "\n"
    stated = "9b36b57ebaf20f09bf4c22100ccc21877ea6bfe5aead0c00c59f8af8ccefacfc"
    assert hashlib.sha256(text.encode()).hexdigest() == stated
