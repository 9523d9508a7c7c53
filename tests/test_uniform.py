"""Pictures that mixed precision is too coarse for are told from their pixels, each by itself."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featuremill.images.decode import resize
from featuremill.images.synth import SynthConfig, draw
from featuremill.models import registry
from featuremill.models.engines import native_bf16, open_engine, smallest_cosine
from featuremill.models.network import BOUNDS, Network
from featuremill.models.uniform import is_uniform

SIZE = (224, 224)
Y, X = np.mgrid[:224, :224]

TEXTURES = {
    "one colour": np.full((*SIZE, 3), (20, 40, 220)),
    "blue cloth": np.where(((X + Y) % 2)[..., None], (60, 80, 130), (90, 110, 160)),
    "fog": 128 + 4 * (np.sin(X / 20) + np.cos(Y / 25)),
    "a slope": 128 + X / 14,
    "a clear sky": 130 + Y / 4,
    "a shadow without edges": 128 + 60 * np.sin(X / 19) + 60 * np.cos(Y / 26),
    "a large checkerboard": np.where((X // 4 + Y // 4) % 2, 240, 20),
    "a faint checkerboard": np.where((X // 8 + Y // 8) % 2, 140, 115),
    "stripes": 128 + 100 * np.sin(2 * np.pi * (X + 0.2 * Y) / 12),
    "stripes in a shadow": 90 + 40 * np.sin(2 * np.pi * X / 12) + Y / 4,
    "bricks": np.where((Y % 16 < 2) | ((X + Y // 16 % 2 * 16) % 32 < 2), 200, 120),
    "dots": np.where(np.hypot(X % 8 - 4, Y % 8 - 4) < 3, 10, 245),
}

needs_bf16 = pytest.mark.skipif(not native_bf16(), reason="this CPU does not compute bf16")


def pixels_of(levels: np.ndarray) -> np.ndarray:
    """RGB of what may be gray."""
    rgb = levels if levels.ndim == 3 else np.repeat(levels[..., None], 3, axis=-1)
    return np.clip(rgb, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def textures() -> np.ndarray:
    return np.stack([pixels_of(levels) for levels in TEXTURES.values()])


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    """Drawn fruits on white, which have few edges."""
    config = SynthConfig(classes=8, per_class=2)
    return np.stack([resize(draw(kind, n, config), SIZE) for kind in range(8) for n in range(2)])


def test_textures_and_pictures_without_edges_are_uniform(textures):
    assert dict(zip(TEXTURES, is_uniform(textures), strict=True)) == dict.fromkeys(TEXTURES, True)


def test_drawn_fruits_are_not(drawn):
    assert is_uniform(drawn).sum() <= 1


@pytest.mark.filterwarnings("ignore:Palette images with Transparency:UserWarning")
def test_photographs_and_contours_are_not(shared_data):
    paths = np.load(shared_data / "reference" / "keras_features.npz")["path"]
    pictures = [np.asarray(Image.open(shared_data / path).convert("RGB")) for path in paths[::2]]
    assert not is_uniform(np.stack([resize(rgb, SIZE) for rgb in pictures])).any()


@pytest.mark.parametrize("size", [(96, 96), (28, 28), (50, 31)])
def test_any_size_of_picture_is_judged(size):
    assert is_uniform(np.zeros((3, *size, 3), np.uint8)).tolist() == [True] * 3


def test_none_are_none():
    assert is_uniform(np.zeros((0, *SIZE, 3), np.uint8)).shape == (0,)


@needs_bf16
class TestMixedPrecision:
    def test_keeps_its_contract_on_uniform_pictures(self, weights: str, textures: np.ndarray):
        network = registry.load("mobilenetv2", Path(weights))
        exact = open_engine(network, "fp32").embed(textures)
        bound = BOUNDS["auto"]
        assert bound is not None
        assert smallest_cosine(open_engine(network, "mixed").embed(textures), exact) >= bound

    def test_gives_a_picture_the_same_features_beside_any_others(
        self, network: Network, textures: np.ndarray, drawn: np.ndarray
    ):
        engine = open_engine(network, "mixed")
        alone = [engine.embed(each[None])[0] for each in (textures[4], drawn[3])]
        together = engine.embed(np.concatenate([drawn[:5], textures, drawn[5:]]))
        np.testing.assert_array_equal(together[[5 + 4, 3]], alone)

    @pytest.fixture
    def network(self) -> Network:
        return registry.load("mobilenetv2-untrained")
