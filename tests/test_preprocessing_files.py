"""Descriptions of a preprocessing, as publishers write them."""

import json
from typing import Any

import pytest

from featuremill.errors import ModelError
from featuremill.images.preprocessing import Preprocessing
from featuremill.models.preprocessing_files import read_preprocessing

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
DINOV2: dict[str, Any] = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "BitImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 256},
}
SIGLIP: dict[str, Any] = {
    "do_convert_rgb": None,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "SiglipImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "processor_class": "SiglipProcessor",
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 224, "width": 224},
}
TIMM: dict[str, Any] = {
    "tag": "ra4_e3600_r224_in1k",
    "custom_load": False,
    "input_size": [3, 224, 224],
    "fixed_input_size": False,
    "interpolation": "bicubic",
    "crop_pct": 0.95,
    "crop_mode": "center",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "num_classes": 1000,
    "pool_size": [7, 7],
    "first_conv": "conv1",
    "classifier": "fc",
}
STAGES = [
    {
        "type": "resize",
        "size": 256,
        "interpolation": "bicubic",
        "max_size": None,
        "antialias": True,
    },
    {"type": "center_crop", "size": [224, 224]},
    {"type": "maybe_to_tensor"},
    {"type": "normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
]
PAD = {"type": "pad_to_size", "size": [448, 320], "background_color": "white"}
CROPPED = Preprocessing((224, 224), resize=256, **IMAGENET)


def hugging(changes: dict[str, Any], base: dict[str, Any] = DINOV2) -> dict[str, Any]:
    return {name: value for name, value in {**base, **changes}.items() if value != "gone"}


READ = [
    ("preprocessor_config.json", DINOV2, CROPPED),
    (
        "preprocessor_config.json",
        SIGLIP,
        Preprocessing((224, 224), (224, 224), "bilinear", mean=(0.5,) * 3, std=(0.5,) * 3),
    ),
    (
        "preprocessor_config.json",
        {
            "feature_extractor_type": "CLIPFeatureExtractor",
            "size": 224,
            "crop_size": 224,
            "resample": 3,
            "do_normalize": False,
        },
        Preprocessing((224, 224), resize=224),
    ),
    (
        "preprocessor_config.json",
        {"feature_extractor_type": "ViTFeatureExtractor", "size": 224, "resample": 2}
        | {"do_normalize": False, "do_rescale": False},
        Preprocessing((224, 224), resize=(224, 224), resample="bilinear", scale=1.0),
    ),
    (
        "preprocessor_config.json",
        hugging({"image_processor_type": "ConvNextFeatureExtractor", "crop_size": "gone"}
                | {"size": {"shortest_edge": 224}, "crop_pct": 0.875, "do_center_crop": "gone"}),
        CROPPED,
    ),
    (
        "preprocessor_config.json",
        hugging({"image_processor_type": "ConvNextImageProcessor", "crop_size": "gone"}
                | {"size": {"shortest_edge": 384}, "do_center_crop": "gone"}),
        Preprocessing((384, 384), resize=(384, 384), **IMAGENET),
    ),
    (
        "config.json",
        {"pretrained_cfg": TIMM},
        Preprocessing((224, 224), 235, crop="round", **IMAGENET),
    ),
    (
        "config.json",
        {"pretrained_cfg": TIMM | {"crop_mode": "squash", "crop_pct": 1.0}},
        Preprocessing((224, 224), resize=(224, 224), crop="round", **IMAGENET),
    ),
    ("preprocess.json", {"stages": STAGES}, CROPPED),
    ("preprocess.json", {"test": STAGES, "val": STAGES[1:]}, CROPPED),
    (
        "preprocess.json",
        {"stages": [PAD, *STAGES[2:]]},
        Preprocessing((320, 448), resample="bilinear", pad=(255, 255, 255), **IMAGENET),
    ),
    (
        "preprocessing.toml",
        'size = [224, 224]\nresize = [256, 256]\nresample = "bilinear"\nchannels = "BGR"\n'
        'layout = "NHWC"\nscale = 1.0\nmean = [104, 117, 123]\n',
        Preprocessing((224, 224), (256, 256), "bilinear", scale=1.0, mean=(104, 117, 123),
                      channels="BGR", layout="NHWC"),
    ),
]  # fmt: skip


def write(folder, name, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(("name", "content", "expected"), READ)
def test_what_publishers_write_is_understood(tmp_path, name, content, expected):
    assert read_preprocessing(write(tmp_path, name, content)) == (expected, name)


REFUSED = [
    ("preprocessor_config.json", hugging({"do_sharpen": True}), "key do_sharpen is not understood"),
    ("preprocessor_config.json", hugging({"resample": 4}), "resample is 4"),
    ("preprocessor_config.json", hugging({"resample": "gone"}), "resample is None"),
    ("preprocessor_config.json", hugging({"do_resize": False}), "do_resize is false"),
    ("preprocessor_config.json", hugging({"do_pad": True}), "do_pad is not understood"),
    ("preprocessor_config.json", hugging({"do_flip_channel_order": True}), "do_flip_channel_order"),
    ("preprocessor_config.json", hugging({"image_mean": "gone"}), "image_mean or image_std"),
    ("preprocessor_config.json", hugging({"do_center_crop": False}), "do_center_crop is false"),
    ("preprocessor_config.json", hugging({"crop_pct": 0.9}), "crop_pct is 0.9"),
    ("preprocessor_config.json", hugging({"size": {"longest_edge": 9}}), "size is"),
    ("preprocessor_config.json", hugging({"size": {"shortest_edge": 200}}), "resize is 200"),
    (
        "preprocessor_config.json",
        hugging({"image_processor_type": "Qwen2VLImageProcessor"}),
        "Qwen2VLImageProcessor",
    ),
    ("preprocessor_config.json", "[1]", "no table of keys"),
    ("preprocessor_config.json", "{", "Cannot follow"),
    ("config.json", {"pretrained_cfg": TIMM | {"crop_mode": "border"}}, "crop_mode is 'border'"),
    ("config.json", {"pretrained_cfg": TIMM | {"interpolation": "random"}}, "resample is random"),
    ("config.json", {"pretrained_cfg": TIMM | {"mean": None}}, "pretrained_cfg has no mean"),
    ("config.json", {"pretrained_cfg": TIMM | {"gamma": 2.2}}, "key gamma is not understood"),
    ("config.json", {"pretrained_cfg": TIMM | {"input_size": [1, 8, 8]}}, "1 channels"),
    ("preprocess.json", {"stages": [*STAGES, STAGES[0]]}, "resize stands there twice"),
    ("preprocess.json", {"stages": STAGES[::-1]}, "comes too late"),
    ("preprocess.json", {"stages": [{"type": "blur"}]}, "stage 'blur' is not understood"),
    ("preprocess.json", {"stages": [{"type": "convert_rgb"}, *STAGES]}, "force_background"),
    ("preprocess.json", {"stages": [PAD, *STAGES]}, "pad_to_size and resize contradict"),
    ("preprocess.json", {"stages": STAGES[:1]}, "nothing is cropped"),
    ("preprocess.json", {"stages": STAGES[1:]}, "no stage resize"),
    ("preprocessing.toml", "size = [224, 224]\nblur = 1", "key blur is not understood"),
    ("preprocessing.toml", "resize = 256", "it has no size"),
    ("preprocessing.toml", "size = [224, 224]\nresize = 100", "resize is 100"),
    ("preprocessing.toml", 'size = [224, 224]\nmean = ["a", "b", "c"]', "wrong kind"),
    ("config.json", {"model_type": "dinov2"}, "holds no description"),
]


@pytest.mark.parametrize(("name", "content", "message"), REFUSED)
def test_what_is_not_understood_is_refused_by_its_name(tmp_path, name, content, message):
    with pytest.raises(ModelError, match=message) as refused:
        read_preprocessing(write(tmp_path, name, content))
    assert "preprocessing.toml" in refused.value.remedy


def test_files_that_contradict_each_other_are_refused_and_ours_decides(tmp_path):
    write(tmp_path, "preprocessor_config.json", DINOV2)
    write(tmp_path, "config.json", {"pretrained_cfg": TIMM})
    with pytest.raises(ModelError, match=r"config.json contradict each other"):
        read_preprocessing(tmp_path)
    write(tmp_path, "preprocessing.toml", "size = [8, 8]")
    assert read_preprocessing(tmp_path) == (Preprocessing((8, 8)), "preprocessing.toml")
