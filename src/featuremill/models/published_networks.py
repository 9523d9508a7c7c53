"""Networks of other publishers that are known by name: one ONNX file each, fetched once.

None was downloaded where this was written: addresses, sizes and checksums are those that several
public programs state alike. In the cache each becomes a folder as ``--model`` takes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from featuremill.errors import ModelError
from featuremill.models.download import MIRROR_VARIABLE, ByteProgress, cache_dir, fetch, mirrored
from featuremill.models.preprocessing_files import OWN


@dataclass(frozen=True)
class PublishedNetwork:
    """Where a network is, and what its publisher says of it."""

    name: str
    summary: str
    url: str
    size: int
    """Bytes."""
    sha256: str
    n_features: int
    output: str
    pool: str | None
    preprocessing: str
    """The publisher's, in featuremill's own form."""
    licence: str = "Apache-2.0"

    def description(self) -> dict[str, str]:
        """Everything about the network, for people, without its file."""
        return {
            "name": self.name,
            "summary": f"{self.summary} (download untested)",
            "licence": f"{self.licence}, as its authors state",
            "features": str(self.n_features),
            "embeds": self.output + (f", pooled by {self.pool}" if self.pool else ""),
            "preprocessing": self.preprocessing.strip().replace("\n", "; "),
            "weights": self.url,
            "sha256": self.sha256,
            "bytes": f"{self.size:,}",
        }

    def fetched(self, progress: ByteProgress | None = None) -> Path:
        """Folder with the network and its preprocessing, downloaded if it is not there.

        Raises
        ------
        ModelError
            If the file cannot be had, or is not the one expected.
        """
        file = cache_dir() / self.name / "model.onnx"
        try:
            fetch(mirrored(self.url, f"{self.name}.onnx"), file, self.sha256, self.size, progress)
        except ModelError as error:
            raise ModelError(
                error.problem,
                f"Try again, put a copy of the file at {file}, or name the folder of a mirror that"
                f" holds it as {self.name}.onnx in {MIRROR_VARIABLE}.",
            ) from error
        file.with_name(OWN).write_text(self.preprocessing, encoding="utf-8")
        return file.parent


_HUB = "https://huggingface.co/onnx-community"
_SMALL = "dinov2-small/resolve/8b1f705a3a7f6f062f6bdd21986c1583d3ef105d/onnx/model.onnx"
_BASE = "dinov2-base/resolve/31ef06cac16d5d301c5930d147002a058c85a5e4/onnx/model.onnx"
_SIGLIP2 = "siglip2-base-patch16-224-ONNX/resolve/ba1f3b0843f24bc5417d38e19c37b287d719b2f4"
_IMAGENET = """size = [224, 224]\nresize = 256\nresample = "bicubic"
mean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n"""
_HALVES = """size = [224, 224]\nresize = [224, 224]\nresample = "bilinear"
mean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n"""
# fmt: off
NETWORKS: Mapping[str, PublishedNetwork] = MappingProxyType({
    network.name: network for network in (
        PublishedNetwork(
            "dinov2-small", "DINOv2 ViT-S/14 by Meta, exported by onnx-community",
            f"{_HUB}/{_SMALL}", 88_532_934,
            "f22797eabf810a75e41de68d378541ebea372122b25c4ce3ef25ff618250c20a",
            384, "last_hidden_state", "cls", _IMAGENET,
        ),
        PublishedNetwork(
            "dinov2-base", "DINOv2 ViT-B/14 by Meta, exported by onnx-community",
            f"{_HUB}/{_BASE}", 346_627_111,
            "320d1012a6fc65b101fc85ca30ee7a47b2e4f6a2e8bd78fb9d7036def0e30cb0",
            768, "last_hidden_state", "cls", _IMAGENET,
        ),
        PublishedNetwork(
            "siglip2-base", "SigLIP 2 B/16 by Google, its image tower, by onnx-community",
            f"{_HUB}/{_SIGLIP2}/onnx/vision_model.onnx", 371_807_752,
            "c0573e3f4140c3a7c4e9cc5912bd6b26a033b46a6a8e8af26cbea262b163bcad",
            768, "pooler_output", None, _HALVES,
        ),
    )
})
# fmt: on
