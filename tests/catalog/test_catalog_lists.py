"""The stored lists: what they say, against the libraries' documentation and what is installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archbench.catalog import load_catalog
from archbench.catalog.lists import LISTED_LIBRARIES, read_list
from archbench.catalog.refresh import drift
from archbench.core.spec import Preprocessing
from archbench.models.libraries import library_version, names

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@pytest.mark.parametrize("library", LISTED_LIBRARIES)
def test_the_stored_list_is_that_of_the_installed_library(library: str) -> None:
    found = drift(library, names(library), library_version(library))
    if found.version_stored != found.version_installed:
        pytest.skip(f"{library}: {found}; run archbench catalog refresh")
    assert not found, f"{library}: {found}"


@pytest.mark.parametrize(
    ("library", "listed", "skipped"),
    # The names that each library offers: timm.list_models() 1,371; 80 torchvision classifiers; 867
    # pytorchcv models, of which 468 end in 1000 classes.
    [("timm", 1364, 7), ("torchvision", 80, 0), ("pytorchcv", 468, 399)],
)
def test_every_name_of_a_library_is_listed_or_refused_with_a_reason(
    library: str, listed: int, skipped: int
) -> None:
    stored = read_list(library)
    assert (len(stored.models), len(stored.skipped)) == (listed, skipped)
    assert len(stored.names) == listed + skipped
    assert all(stored.skipped.values())


def test_timms_encoders_without_a_head_are_no_classifiers() -> None:
    assert read_list("timm").skipped["mobilenetv5_300m_enc"] == (
        "its output is (1, 2048, 16, 16), not (1, 1000) class scores"
    )


def test_pytorchcvs_cifar_models_are_no_imagenet_classifiers() -> None:
    assert read_list("pytorchcv").skipped["resnet20_cifar10"] == "it has 10 classes, not 1000"


def test_torchvision_states_how_an_image_is_prepared() -> None:
    # torchvision's documentation of ResNet50_Weights.IMAGENET1K_V2: resize_size=[232],
    # crop_size=[224], bilinear.
    spec = load_catalog().get("torchvision/resnet50")
    assert spec.weights == "IMAGENET1K_V2"
    assert spec.preprocessing == Preprocessing(
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        crop_fraction=224 / 232,
        interpolation="bilinear",
        source=f"torchvision {read_list('torchvision').version}",
        crop_mode="center",
    )


def test_torchvisions_largest_transformer_is_built_for_the_images_of_its_weights() -> None:
    # ViT_H_14_Weights.IMAGENET1K_SWAG_E2E_V1 was trained on images of 518.
    spec = load_catalog().get("torchvision/vit_h_14")
    assert spec.input_size == (3, 518, 518)
    assert dict(spec.kwargs) == {"image_size": 518}


def test_timm_states_how_an_image_is_prepared() -> None:
    # Model card of timm/resnet50.a1_in1k: trained at 224, crop_pct 0.95, bicubic.
    spec = load_catalog().get("timm/resnet50")
    assert (spec.weights, spec.input_size, spec.kwargs) == ("a1_in1k", (3, 224, 224), ())
    assert spec.preprocessing is not None
    assert spec.preprocessing.crop_fraction == 0.95
    assert spec.preprocessing.interpolation == "bicubic"


def test_weights_without_an_imagenet_head_are_not_the_architectures_weights() -> None:
    # Its weights are of DINOv2 on LVD-142M and give features, no classes.
    spec = load_catalog().get("timm/vit_base_patch14_dinov2")
    assert spec.weights is None
    assert dict(spec.kwargs) == {"num_classes": 1000}


def test_a_timm_model_that_nobody_trained_has_no_weights() -> None:
    assert load_catalog().get("timm/resnet50_gn").weights == "a1h_in1k"
    assert load_catalog().get("timm/mobilenetv2_035").weights is None


def test_what_pytorchcv_does_not_state_is_absent() -> None:
    # Its table of weights has a column for the crop, and no file of it holds mean or std.
    preprocessing = load_catalog().get("pytorchcv/efficientnet_b1").preprocessing
    version = read_list("pytorchcv").version
    assert preprocessing == Preprocessing(
        mean=None,
        std=None,
        crop_fraction=0.882,
        interpolation=None,
        source=f"pytorchcv {version}, which states no mean, std, crop mode, interpolation",
        crop_mode=None,
    )


def test_an_image_need_not_be_square() -> None:
    assert load_catalog().get("timm/vit_base_patch16_sapiens2").input_size == (3, 1024, 768)


def test_the_same_preprocessing_is_one_object() -> None:
    specs = load_catalog().suite("torchvision")
    by_id = {spec.id: spec for spec in specs}
    one, other = by_id["torchvision/alexnet"], by_id["torchvision/vgg11"]
    assert one.preprocessing is other.preprocessing


def test_a_list_of_another_format_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "timm.json").write_text(json.dumps({"schema": 99}), encoding="utf-8")
    monkeypatch.setattr("archbench.catalog.lists.DATA", tmp_path)
    read_list.cache_clear()
    try:
        with pytest.raises(ValueError, match="has format 99, this archbench reads 1"):
            read_list("timm")
    finally:
        read_list.cache_clear()
