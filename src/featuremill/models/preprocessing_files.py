"""Reads what a network's publisher says of its preprocessing, and refuses what is not understood.

Four forms are known: Transformers' ``preprocessor_config.json``, timm's ``pretrained_cfg`` in a
``config.json``, the stages that deepghs exports in a ``preprocess.json``, and featuremill's own
``preprocessing.toml``, whose keys are the fields of
:class:`~featuremill.images.preprocessing.Preprocessing`.
"""

import json
import math
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL import ImageColor

from featuremill.errors import ModelError
from featuremill.images.preprocessing import FIELDS, Preprocessing

OWN = "preprocessing.toml"
_REMEDY = f"Describe the preprocessing in a {OWN} beside the network: docs/models.md says how."
_BY_NUMBER = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of its filters; 4 (box) and 5 (Hamming) are not computed here."""

Keys = dict[str, Any]


class _UnfitError(Exception):
    """Why a file cannot be followed."""


def read_preprocessing(folder: Path) -> tuple[Preprocessing, str]:
    """Find and read the description of a network's preprocessing.

    featuremill's own file comes first. Where several others lie there, they must agree.

    Parameters
    ----------
    folder : Path
        Where the network lies.

    Returns
    -------
    preprocessing : Preprocessing
    file : str
        Name of the file it was read from.

    Raises
    ------
    ModelError
        If there is no such file, or it has a key that is unknown or contradicts another.
    """
    found = {
        name: _read(folder / name, read)
        for name, read in _READERS.items()
        if (folder / name).is_file() and _describes(folder / name)
    }
    if not found:
        raise ModelError(
            f"{folder} holds no description of a preprocessing ({', '.join(_READERS)}).", _REMEDY
        )
    (name, first), *others = found.items()
    for other, preprocessing in others:
        if name != OWN and str(preprocessing) != str(first):
            raise ModelError(
                f"{folder / name} and {other} contradict each other: {first} and {preprocessing}.",
                _REMEDY,
            )
    return first, name


def _describes(path: Path) -> bool:
    """Whether a file is about the preprocessing: any network has a ``config.json``."""
    if path.name != "config.json":
        return True
    try:
        return "pretrained_cfg" in json.loads(path.read_bytes())
    except ValueError:
        return False


def _read(path: Path, read: Callable[[Keys], Preprocessing]) -> Preprocessing:
    try:
        text = path.read_text(encoding="utf-8")
        keys = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        if not isinstance(keys, dict):
            raise _UnfitError("it is no table of keys")
        return read(keys)
    except (OSError, ValueError, _UnfitError, ModelError) as error:
        problem = error.problem if isinstance(error, ModelError) else str(error)
        raise ModelError(f"Cannot follow {path}: {problem.rstrip('.')}.", _REMEDY) from error


def _own(keys: Keys) -> Preprocessing:
    """Featuremill's own form; lists become tuples."""
    _only(keys, *FIELDS)
    plain: Keys = {name: tuple(v) if isinstance(v, list) else v for name, v in keys.items()}
    if not isinstance(plain.get("size"), tuple):
        raise _UnfitError("it has no size = [height, width]")
    try:
        return Preprocessing(**plain)
    except TypeError as error:
        raise _UnfitError(f"a value is of the wrong kind: {error}") from error


_SQUARES = ("vit", "deit", "siglip", "siglip2", "beit")
_SHORTER_EDGES = (
    "clip",
    "bit",
    "convnext",
    "mobilenetv1",
    "mobilenetv2",
    "levit",
    "efficientformer",
)
_UNUSED = (
    *("image_processor_type", "feature_extractor_type", "processor_class", "auto_map"),
    *("do_convert_rgb", "return_tensors", "data_format", "input_data_format", "device"),
    *("default_to_square", "disable_grouping", "_valid_processor_keys", "crop_pct", "size_divisor"),
)
"""Keys of Transformers that say nothing of the pixels, or that are looked at elsewhere."""


def _transformers(keys: Keys) -> Preprocessing:
    """Transformers' image processors that work with Pillow."""
    named = str(keys.get("image_processor_type", keys.get("feature_extractor_type", "")))
    kind = named.lower().removesuffix("fast")
    kind = kind.removesuffix("imageprocessor").removesuffix("featureextractor")
    if kind not in (*_SQUARES, *_SHORTER_EDGES):
        raise _UnfitError(f"image_processor_type is {named!r}, whose rules are not known here")
    steps = {
        name: keys.pop(f"do_{name}", default)
        for name, default in (
            *(("resize", True), ("rescale", True), ("normalize", True)),
            ("center_crop", "crop_size" in keys),
        )
    }
    for name in ("pad", "flip_channel_order", "reduce_labels", "thumbnail", "align_long_axis"):
        if keys.pop(f"do_{name}", None):
            raise _UnfitError(f"do_{name} is not understood")
    size, crop = keys.pop("size", None), keys.pop("crop_size", None)
    resample, factor = keys.pop("resample", None), keys.pop("rescale_factor", 1 / 255)
    mean, std = keys.pop("image_mean", None), keys.pop("image_std", None)
    ratio = keys.get("crop_pct")
    _only(keys, *_UNUSED)
    if not steps["resize"]:
        raise _UnfitError("do_resize is false: images of any size cannot be embedded")
    if resample not in _BY_NUMBER:
        raise _UnfitError(f"resample is {resample}, it must be one of {_BY_NUMBER}")
    if steps["normalize"] and (mean is None or std is None):
        raise _UnfitError("do_normalize is true, but image_mean or image_std is missing")
    edge = _edge(size, square=kind in _SQUARES)
    cut = _edge(crop, square=True) if steps["center_crop"] else edge
    if kind == "convnext" and isinstance(edge, int):
        # the class has a rule of its own: from 384 pixels on, images are squeezed and not cropped
        cut = (edge, edge)
        edge = int(edge / (ratio or 224 / 256)) if edge < 384 else cut
    elif ratio is not None:
        raise _UnfitError(f"crop_pct is {ratio}, which means nothing to {named}")
    if isinstance(cut, int):
        raise _UnfitError(
            "size is a shortest_edge, but do_center_crop is false: inputs would differ"
        )
    arithmetic: Keys = {"scale": factor if steps["rescale"] else 1.0}
    if steps["normalize"]:
        arithmetic |= {"mean": tuple(mean), "std": tuple(std)}
    return Preprocessing(size=cut, resize=edge, resample=_BY_NUMBER[resample], **arithmetic)


def _edge(size: Any, *, square: bool) -> int | tuple[int, int]:
    """Shortest edge, or height and width, of Transformers' many ways to say so."""
    if isinstance(size, int):
        return (size, size) if square else size
    if isinstance(size, dict) and size.keys() == {"shortest_edge"}:
        return int(size["shortest_edge"])
    if isinstance(size, dict) and size.keys() == {"height", "width"}:
        return int(size["height"]), int(size["width"])
    raise _UnfitError(f"size is {size}, it must be a number, a shortest_edge, or height and width")


_TIMM = ("input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std")
_TIMM_UNUSED = (
    *("url", "file", "hf_hub_id", "hf_hub_filename", "architecture", "tag", "custom_load"),
    *("num_classes", "pool_size", "first_conv", "classifier", "license", "source", "origin_url"),
    *("paper_name", "paper_ids", "notes", "min_input_size", "fixed_input_size", "state_dict"),
    *("label_names", "label_descriptions", "label_offset", "num_features", "test_crop_pct"),
    *("test_input_size", "strict_img_size", "use_ssld", "test_crop_mode"),
)
"""Keys of timm that say nothing of the pixels of an ordinary evaluation."""


def _timm(keys: Keys) -> Preprocessing:
    """Timm's evaluation transform; what it leaves out has timm's defaults."""
    config = keys["pretrained_cfg"]
    if not isinstance(config, dict):
        raise _UnfitError("pretrained_cfg is no table of keys")
    _only(config, *_TIMM, *_TIMM_UNUSED)
    for name in ("input_size", "interpolation", "mean", "std"):
        if config.get(name) is None:
            raise _UnfitError(f"pretrained_cfg has no {name}")
    channels, *size = config["input_size"]
    if channels != 3:
        raise _UnfitError(f"input_size begins with {channels} channels, it must be 3")
    height, width = size
    share, mode = config.get("crop_pct") or 0.875, config.get("crop_mode") or "center"
    if mode not in ("center", "squash"):
        raise _UnfitError(f"crop_mode is {mode!r}, it must be center or squash")
    whole = math.floor(height / share), math.floor(width / share)
    if mode == "center" and whole[0] != whole[1]:
        raise _UnfitError(f"input_size is {height} x {width}: crop_mode center is for squares here")
    return Preprocessing(
        size=(height, width),
        resize=whole if mode == "squash" else whole[0],
        resample=str(config["interpolation"]),
        crop="round",
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def _stages(keys: Keys) -> Preprocessing:
    """Deepghs' list of stages; of several lists, ``test`` is the one that its tools run."""
    stages = keys.get("stages", keys.get("test"))
    if not isinstance(stages, list):
        raise _UnfitError("it has neither stages nor test")
    said: Keys = {}
    for stage in stages:
        rest = dict(stage)
        kind = rest.pop("type", None)
        if kind in said:
            raise _UnfitError(f"stage {kind} stands there twice")
        if kind not in _STAGES:
            raise _UnfitError(f"stage {kind!r} is not understood")
        if list(_STAGES).index(kind) < max((list(_STAGES).index(k) for k in said), default=0):
            raise _UnfitError(f"stage {kind} comes too late")
        _only(rest, *_STAGES[kind])
        said[kind] = rest
    if said.get("convert_rgb", {"force_background": None}).get("force_background", "white"):
        raise _UnfitError("convert_rgb has a force_background: what is transparent is dropped here")
    return _of_stages(said)


_STAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "convert_rgb": ("force_background",),
        "pad_to_size": ("size", "background_color", "interpolation"),
        "resize": ("size", "interpolation", "max_size", "antialias"),
        "center_crop": ("size",),
        "to_tensor": (),
        "maybe_to_tensor": (),
        "normalize": ("mean", "std", "inplace"),
    }
)
"""Stages in the only order that they may have, and their keys."""


def _of_stages(said: Mapping[str, Keys]) -> Preprocessing:
    numbers = said.get("normalize", {})
    arithmetic: Keys = {name: tuple(numbers[name]) for name in ("mean", "std") if name in numbers}
    if "pad_to_size" in said:
        if {"resize", "center_crop"} & said.keys():
            raise _UnfitError("pad_to_size and resize contradict each other")
        pad = said["pad_to_size"]
        width, height = (pad["size"], pad["size"]) if isinstance(pad["size"], int) else pad["size"]
        colour = pad.get("background_color", "white")
        return Preprocessing(
            size=(height, width),
            resample=pad.get("interpolation", "bilinear"),
            pad=ImageColor.getrgb(colour)[:3] if isinstance(colour, str) else tuple(colour[:3]),
            **arithmetic,
        )
    if "resize" not in said:
        raise _UnfitError("it has no stage resize")
    resize = said["resize"]
    if resize.get("max_size") is not None or not resize.get("antialias", True):
        raise _UnfitError("resize has a max_size, or no antialias")
    edge = _listed(resize["size"])
    size = _listed(said["center_crop"]["size"]) if "center_crop" in said else edge
    if isinstance(size, int):
        size = (size, size)
        if "center_crop" not in said:
            raise _UnfitError("resize has one size, but nothing is cropped: inputs would differ")
    by = resize.get("interpolation", "bilinear")
    return Preprocessing(size=size, resize=edge, resample=by, **arithmetic)


def _listed(size: Any) -> int | tuple[int, int]:
    if isinstance(size, int):
        return size
    return int(size[0]) if len(size) == 1 else (int(size[0]), int(size[1]))


def _only(keys: Keys, *known: str) -> None:
    """Refuse keys that are not understood."""
    unknown = sorted(keys.keys() - set(known))
    if unknown:
        raise _UnfitError(f"key {unknown[0]} is not understood")


_READERS: Mapping[str, Callable[[Keys], Preprocessing]] = MappingProxyType(
    {
        OWN: _own,
        "preprocessor_config.json": _transformers,
        "preprocess.json": _stages,
        "config.json": _timm,
    }
)
