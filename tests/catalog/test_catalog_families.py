"""Families of networks."""

from __future__ import annotations

from collections import Counter

import pytest

from archbench.catalog import load_catalog
from archbench.catalog.families import FAMILIES, OTHER, family_of
from archbench.catalog.tables import PUBLISHED, published_table


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("timm/resnet50", "ResNet"),
        ("pytorchcv/preresnet18", "ResNet"),
        ("archbench/fbresnet152", "ResNet"),
        ("CaffeResNet-101", "ResNet"),
        ("torchvision/resnext101_64x4d", "ResNeXt"),
        ("timm/legacy_seresnext50_32x4d", "SENet"),
        ("SE-ResNet-50", "SENet"),
        ("SENet-154", "SENet"),
        ("torchvision/densenet121", "DenseNet"),
        ("DN-BC-264", "DenseNet"),
        ("archbench/msdnet_a", "MSDNet"),
        ("torchvision/vgg16_bn", "VGG"),
        ("archbench/bn_alexnet", "AlexNet"),
        ("archbench/bn_nin", "NIN"),
        ("archbench/enet_classifier", "ENet"),
        ("GoogLeNet", "Inception"),
        ("BN-Inception", "Inception"),
        ("Inception-ResNet-v2", "Inception"),
        ("timm/legacy_xception", "Xception"),
        ("1.0 MobNet-128", "MobileNet"),
        ("MobileNetV3 L/224/1.0", "MobileNet"),
        ("timm/mobilenetv1_100@192", "MobileNet"),
        ("timm/tf_efficientnet_b0", "EfficientNet"),
        ("NASNet-A-Mobile", "NASNet"),
        ("mnasnet_a1", "MNASNet"),
        ("ShuffleNet v2", "ShuffleNet"),
        ("DPN-68", "DPN"),
        ("SqueezeNet-v1.1", "SqueezeNet"),
        ("timm/vit_base_patch16_224", "ViT"),
        ("timm/swinv2_base_window16_256", "Swin"),
        ("timm/convnext_tiny", "ConvNeXt"),
        ("timm/deit3_base_patch16_224", "DeiT"),
        ("local/my_net", OTHER),
        ("local/wide", OTHER),
        ("local/<b>x", OTHER),
    ],
)
def test_family_of(name: str, family: str) -> None:
    assert family_of(name) == family
    assert family in FAMILIES


def test_most_of_the_catalogue_has_a_family() -> None:
    specs = load_catalog().select(models="*")
    found = Counter(family_of(spec.id) for spec in specs)
    assert set(found) <= set(FAMILIES)
    assert found[OTHER] < 0.02 * len(specs)
    assert len(FAMILIES) <= 48
    # A family of nobody would waste a colour.
    assert set(FAMILIES) == set(found)


def test_all_seed_rows_have_a_family() -> None:
    assert not [spec.id for spec in load_catalog().suite("seeds") if family_of(spec.id) == OTHER]
    for name in set(PUBLISHED) - {"timm_imagenet"}:
        assert not [point.name for point in published_table(name) if point.family == OTHER]
