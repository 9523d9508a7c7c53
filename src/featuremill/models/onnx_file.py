"""Reads somebody else's ONNX file: what takes the pixels, and whether it can be used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from featuremill.errors import ModelError
from featuremill.images.preprocessing import Preprocessing
from featuremill.models.preprocessing_files import read_preprocessing

if TYPE_CHECKING:
    from collections.abc import Collection

    from onnx import GraphProto, ModelProto, ValueInfoProto

OPSETS = (7, 23)
MOST_BYTES = 2_000_000_000
"""A graph with its weights is one message of Protocol Buffers, which ends at 2 GiB."""

Layout = Literal["NCHW", "NHWC"]


class Place(NamedTuple):
    """Where a network's file lies, and the folder whose files describe it."""

    file: Path
    folder: Path


@dataclass(frozen=True)
class OnnxFile:
    """A file as it was read, with all that is needed to run it.

    Parameters
    ----------
    place : Place
        Of the file.
    model : ModelProto
        With its external data.
    preprocessing : Preprocessing
        In the layout that the graph reads.
    described_by : str
        The file that the preprocessing was read from.
    input : ValueInfoProto
        What takes the pixels.
    fixed_batch : bool
        Whether it takes one image at a time.
    """

    place: Place
    model: ModelProto
    preprocessing: Preprocessing
    described_by: str
    input: ValueInfoProto
    fixed_batch: bool


def find(path: Path) -> Place:
    """Find the ONNX file that a path means.

    A folder may hold several, as quantised variants: then it is ``model.onnx``, in the folder
    itself or in ``onnx/`` below it.

    Raises
    ------
    ModelError
        If there is none, or it cannot be told which.
    """
    path = path.expanduser().absolute()
    if path.is_file():
        above = path.parent.name == "onnx"
        return Place(path, path.parent.parent if above else path.parent)
    found = sorted((*path.glob("*.onnx"), *path.glob("onnx/*.onnx")))
    named = [file for file in found if file.name == "model.onnx"]
    if len(named or found) != 1:
        names = ", ".join(str(file.relative_to(path)) for file in found) or "none"
        raise ModelError(
            f"--model is {path}, which must hold one ONNX file, or one model.onnx: it holds"
            f" {names}.",
            "Name the file itself: --model FOLDER/FILE.onnx.",
        )
    return Place((named or found)[0], path)


def read(path: Path) -> OnnxFile:
    """Read a network's file and the description beside it.

    Raises
    ------
    ModelError
        If the file is none, too large, of an unknown opset, or takes no image; or if what it
        takes contradicts the description.
    """
    import onnx

    place = find(path)
    preprocessing, described_by = read_preprocessing(place.folder)
    try:
        # read only if it is small enough: one file can hold all weights
        _check_size(place.file)
        model = onnx.load(str(place.file), load_external_data=False)
        _check_size(place.file, _outside(model))
        onnx.load_external_data_for_model(model, str(place.file.parent))
    except ModelError:
        raise
    except Exception as error:  # protobuf and onnx raise what they like
        raise ModelError(
            f"Cannot read {place.file}: {error}", "Give an ONNX file, with its external data."
        ) from error
    versions = {each.version for each in model.opset_import if each.domain in ("", "ai.onnx")}
    if not versions or not OPSETS[0] <= max(versions) <= OPSETS[1]:
        raise ModelError(
            f"{place.file} is of opset {max(versions, default=0)}, it must be from {OPSETS[0]} to"
            f" {OPSETS[1]}.",
            "Export it anew, or convert it with onnx.version_converter.",
        )
    image = _image_input(place.file, model.graph)
    shape = shape_of(image)
    layout = _layout(place, shape, preprocessing)
    return OnnxFile(
        place,
        model,
        replace(preprocessing, layout=layout),
        described_by,
        image,
        fixed_batch=shape[0] == 1,
    )


def name_of(path: Path) -> str:
    """Name of a network by its path: that of its folder, or of its file."""
    return path.expanduser().absolute().name


def _outside(model: ModelProto) -> set[str]:
    """Names of the files that hold weights beside the graph's."""
    from onnx.external_data_helper import uses_external_data

    return {
        entry.value
        for tensor in model.graph.initializer
        if uses_external_data(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    }


def _check_size(file: Path, outside: Collection[str] = ()) -> None:
    size = file.stat().st_size + sum((file.parent / name).stat().st_size for name in outside)
    if size > MOST_BYTES:
        raise ModelError(
            f"{file} has {size / 1e9:.1f} GB with its weights, it must be at most"
            f" {MOST_BYTES / 1e9:.0f} GB.",
            "Choose a smaller network, or export its image tower alone.",
        )


def _image_input(file: Path, graph: GraphProto) -> ValueInfoProto:
    """The input that takes images; text and the like must not be needed."""
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [each for each in graph.input if each.name not in constants]
    images: list[ValueInfoProto] = [each for each in inputs if len(shape_of(each)) == 4]
    if len(images) != 1:
        raise ModelError(
            f"{file} takes {', '.join(each.name for each in inputs) or 'nothing'}, it must take one"
            " tensor of images, of four axes.",
            "Export the image tower alone.",
        )
    return images[0]


def shape_of(value: ValueInfoProto) -> tuple[int | None, ...]:
    """Sides of a tensor; None where they are open."""
    return tuple(
        side.dim_value if side.HasField("dim_value") and side.dim_value > 0 else None
        for side in value.type.tensor_type.shape.dim
    )


def _layout(place: Place, shape: tuple[int | None, ...], described: Preprocessing) -> Layout:
    """Order of the axes, as the graph says it; the description must agree with the sizes."""
    batch, *sides = shape
    if batch not in (None, 1):
        raise ModelError(
            f"{place.file} takes {batch} images at a time, it must be one or any number.",
            "Export it with a dynamic batch.",
        )
    if 3 in (sides[0], sides[2]) and sides[0] != sides[2]:
        layout: Layout = "NCHW" if sides[0] == 3 else "NHWC"
    else:
        layout = described.layout
    size = sides[1:] if layout == "NCHW" else sides[:2]
    if any(side not in (None, wanted) for side, wanted in zip(size, described.size, strict=True)):
        raise ModelError(
            f"{place.file} takes images of {size[0]} x {size[1]} pixels, but its preprocessing"
            f" makes them {described.size[0]} x {described.size[1]}.",
            "Correct the size in the file that describes the preprocessing.",
        )
    return layout
