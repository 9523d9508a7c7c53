"""Weights out of Keras' legacy HDF5 files, without Keras.

h5py is imported where it is used: listing the models must not wait for it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from featuremill.errors import ModelError

WeightArray = npt.NDArray[np.float32]
Shapes = Mapping[str, Mapping[str, tuple[int, ...]]]
"""Layer name → field (``kernel``, ``gamma``, …) → shape, in the order of the network."""

BATCH_NORM_EPSILON = 1e-3


def read_weights(path: Path, shapes: Shapes) -> dict[str, dict[str, WeightArray]]:
    """Read the layers a network needs; further ones, such as a classifier, are left alone.

    Layers are found by name. Where names differ (the published MobileNetV2 file says
    ``mobl1_conv_1_expand`` for ``block_1_expand``) they are taken in order, as Keras does.

    Parameters
    ----------
    path : Path
        Weights (``save_weights``) or a whole model (``save``) in the legacy format.
    shapes : mapping
        What the network needs.

    Returns
    -------
    dict
        The layers of ``shapes`` and their fields, float32 in Keras' layout.

    Raises
    ------
    ModelError
        If the file is missing, damaged, of another format or of another network.
    """
    import h5py

    if not path.is_file():
        raise ModelError(
            f"Weights {path} are not a file that exists.", "Check the path given to --weights."
        )
    try:
        with h5py.File(path, "r") as file:
            _check_whole(path, file)
            stored = _match(path, _stored_layers(path, file), shapes)
            return {
                layer: {field: np.asarray(stored[layer][field], np.float32) for field in fields}
                for layer, fields in shapes.items()
            }
    except (OSError, KeyError) as error:
        raise ModelError(
            f"Weights {path} are no readable HDF5 file: {error.args[0]}.",
            "Give --weights a Keras .h5 file; if this is one, copy or download it again.",
        ) from error


def fold_batch_norm(
    kernel: WeightArray, norm: Mapping[str, WeightArray], axis: int
) -> tuple[WeightArray, WeightArray]:
    """Merge a batch normalisation into the convolution before it, which has no bias.

    Computed in float64, since the quotient of two float32 roundings would cost a digit.

    Parameters
    ----------
    kernel : ndarray
        The convolution's kernel, any layout.
    norm : mapping
        ``gamma``, ``beta``, ``moving_mean`` and ``moving_variance``, each of shape (channels,).
    axis : int
        The axis of ``kernel`` that holds the output channels.

    Returns
    -------
    kernel, bias : tuple of ndarray
        float32; the kernel in its own shape, the bias of shape (channels,).
    """
    wide = {field: np.asarray(values, np.float64) for field, values in norm.items()}
    scale = wide["gamma"] / np.sqrt(wide["moving_variance"] + BATCH_NORM_EPSILON)
    bias = wide["beta"] - wide["moving_mean"] * scale
    along_axis = [-1 if index == axis else 1 for index in range(kernel.ndim)]
    folded = kernel.astype(np.float64) * scale.reshape(along_axis)
    return folded.astype(np.float32), bias.astype(np.float32)


def _check_whole(path: Path, file: Any) -> None:
    """Refuse a file that takes data from elsewhere: HDF5 would open any file that it names.

    Who sends such weights would have other files of this machine read, and their bytes would end
    in the features.
    """
    import h5py

    waiting, seen = [file], set()
    while waiting:
        group = waiting.pop()
        for name in group:
            try:
                is_hard = isinstance(group.get(name, getlink=True), h5py.HardLink)
            except TypeError:  # a kind of link that h5py does not know
                is_hard = False
            if not is_hard:
                _refuse(path, f"{group.name.rstrip('/')}/{name} is a link")
            item = group[name]
            if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                _refuse(path, f"the data of {item.name} lie in another file")
            address = h5py.h5o.get_info(item.id).addr
            if isinstance(item, h5py.Group) and address not in seen:
                # a group may be linked to from within itself
                seen.add(address)
                waiting.append(item)


def _refuse(path: Path, why: str) -> NoReturn:
    raise ModelError(
        f"Weights {path} are not whole: {why}.",
        "Give --weights a file that holds all its data, as Keras' model.save('model.h5') does.",
    )


def _stored_layers(path: Path, file: Any) -> dict[str, dict[str, Any]]:
    """Every layer with weights, in the order of the file: name → field → dataset."""
    root = file.get("model_weights", file)
    if "layer_names" not in root.attrs:
        newer = "layers" in file or "_layer_checkpoint_dependencies" in file
        found = "Keras 3's .weights.h5 format" if newer else "HDF5 without Keras' layer names"
        raise ModelError(
            f"Weights {path} are in {found}, expected Keras' legacy HDF5.",
            "Save them with model.save('model.h5').",
        )
    layers: dict[str, dict[str, Any]] = {}
    for group in map(_text, root.attrs["layer_names"]):
        for weight in map(_text, root[group].attrs["weight_names"]):
            # Inside a nested model the weight's own path names its layer, the group does not.
            *parents, field = weight.removesuffix(":0").split("/")
            layer = layers.setdefault(parents[-1] if parents else group, {})
            layer[field.removeprefix("depthwise_")] = root[group][weight]
    return layers


def _match(path: Path, stored: dict[str, dict[str, Any]], shapes: Shapes) -> dict[str, Any]:
    """Pair every layer of the network with one of the file, and compare their shapes."""
    by_name = shapes.keys() <= stored.keys()
    names = list(shapes if by_name else stored)
    for index, (layer, expected) in enumerate(shapes.items()):
        if index == len(names):
            found = "the end of the file"
        else:
            fields = {field: tuple(data.shape) for field, data in stored[names[index]].items()}
            if fields == expected:
                continue
            found = f"{names[index]!r} with {_shapes_text(fields)}"
        raise ModelError(
            f"Weights {path} are of another network: layer {layer!r} with "
            f"{_shapes_text(expected)} is missing; found {found} in its place.",
            "Give --weights a file of the network that --model names.",
        )
    return {layer: stored[name] for layer, name in zip(shapes, names, strict=False)}


def _shapes_text(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{field} {shape}" for field, shape in shapes.items())


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
