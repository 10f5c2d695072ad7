"""Published top-1 accuracies, each as its document prints it."""

from __future__ import annotations

import pytest

from archbench.catalog import PublishedFigure, load_catalog, published_top1
from archbench.catalog.lists import read_list
from archbench.core.spec import ModelSpec


def top1(id: str) -> PublishedFigure | None:
    return published_top1(load_catalog().get(id))


def test_torchvisions_figure_is_that_of_its_default_weights() -> None:
    # torchvision's documentation of ResNet50_Weights.IMAGENET1K_V2: acc@1 80.858.
    version = read_list("torchvision").version
    assert top1("torchvision/resnet50") == PublishedFigure(
        80.858, f"torchvision {version}: resnet50 IMAGENET1K_V2", "IMAGENET1K_V2"
    )


def test_timms_figure_is_that_of_its_default_tag_at_its_own_size() -> None:
    # Its table has the tag twice: 80.382 at 224, 81.240 at 288.
    assert top1("timm/resnet50") == PublishedFigure(
        80.382, "timm results/results-imagenet.csv: resnet50.a1_in1k at 224", "a1_in1k"
    )


def test_timm_may_have_a_figure_at_another_size() -> None:
    figure = top1("timm/resnet50@288")
    assert figure is not None
    assert figure.value == 81.24


def test_pytorchcv_prints_errors() -> None:
    # Its table prints a top-1 error of 24.77 for EfficientNet-B0; as floats 100 - 24.77 is
    # 75.22999999999999 or 75.23, depending on the machine's luck.
    figure = top1("pytorchcv/efficientnet_b0")
    assert figure is not None
    assert repr(figure.value) == "75.23"
    assert figure.source.endswith("README.md, ImageNet-1K table @ 7f31dc8f: EfficientNet-B0")


@pytest.mark.parametrize(
    ("id", "value", "source"),
    [
        ("archbench/bn_alexnet", 56.60, "szagoruyko/imagenet-validation.torch"),
        ("archbench/bn_nin", 62.62, "szagoruyko/imagenet-validation.torch"),
        ("archbench/googlenet_lrn", 66.45, "Bianco et al. 2018"),
        ("archbench/fbresnet152", 77.386, "Cadene/pretrained-models.pytorch"),
        ("archbench/densenet264", 78.0, "PaddleClas"),
        ("archbench/enet_classifier", 68.0, "BertMoons"),
        ("archbench/msdnet_a", 63.5, "BertMoons"),
        ("archbench/msdnet_d", 76.0, "BertMoons"),
        ("timm/mobilenetv1_100@192", 69.1, "BertMoons"),
        ("timm/mobilenetv1_100@160", 67.2, "BertMoons"),
        ("timm/mobilenetv1_100@128", 64.4, "BertMoons"),
    ],
)
def test_where_no_library_prints_one_a_named_document_does(
    id: str, value: float, source: str
) -> None:
    figure = top1(id)
    assert figure is not None
    assert figure.value == value
    assert figure.source.startswith(source)
    assert figure.weights is None


@pytest.mark.parametrize(
    "id",
    [
        "timm/vit_base_patch14_dinov2",  # weights without a head
        "timm/mobilenetv2_035",  # no weights
        "torchvision/resnet50@192",  # torchvision prints none at 192
        "pytorchcv/resnet50@288",
    ],
)
def test_a_figure_that_nobody_printed_is_absent(id: str) -> None:
    assert top1(id) is None


def test_ones_own_architecture_has_no_published_figure() -> None:
    assert published_top1(ModelSpec.of(lambda: None, name="resnet50")) is None


def test_every_seed_architecture_has_a_published_figure() -> None:
    for spec in load_catalog().suite("seeds"):
        figure = published_top1(spec)
        assert figure is not None, spec.id
        assert 50 < figure.value < 90


def test_how_many_architectures_have_a_figure() -> None:
    catalog = load_catalog()
    counts = {
        suite: sum(published_top1(spec) is not None for spec in catalog.suite(suite))
        for suite in ("timm", "torchvision", "pytorchcv")
    }
    # torchvision: all. pytorchcv: its table's 323 rows. timm: tags of classifiers with a row.
    assert counts["torchvision"] == 80
    assert counts["pytorchcv"] == 323
    assert counts["timm"] > 880
