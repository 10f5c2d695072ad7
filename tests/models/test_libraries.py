"""Constructing by each library's own constructor, and listing what a library offers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from archbench.catalog import load_catalog
from archbench.core.errors import ArchitectureError, UsageError
from archbench.core.spec import ModelSpec
from archbench.models import libraries
from archbench.models.building import build, build_on_meta
from archbench.models.libraries import discover, library_version, names
from archbench.models.networks import construct


def params(id: str) -> int:
    with torch.device("meta"):
        model = build(load_catalog().get(id))
    return sum(parameter.numel() for parameter in model.parameters())


def scores(id: str) -> tuple[int, ...]:
    spec = load_catalog().get(id)
    images = torch.empty((1, *spec.input_size), device="meta")
    with torch.no_grad():
        return tuple(build_on_meta(spec)(images).shape)


@pytest.mark.parametrize(
    ("id", "published"),
    [
        # torchvision's documentation of the weights: num_params.
        ("torchvision/resnet18", 11_689_512),
        ("torchvision/vit_h_14", 633_470_440),
        # timm's results-imagenet.csv: 25.56 M; the same network as torchvision's.
        ("timm/resnet50", 25_557_032),
        # pytorchcv's README, ImageNet-1K table.
        ("pytorchcv/efficientnet_b0", 5_288_548),
        # Bianco et al. 2018.
        ("archbench/googlenet_lrn", 6_998_552),
    ],
)
def test_an_architecture_has_the_parameters_that_its_library_prints(
    id: str, published: int
) -> None:
    assert params(id) == published


def test_the_auxiliary_classifiers_are_left_out() -> None:
    # torchvision prints 27,161,264 parameters for Inception v3 with its auxiliary classifier: a
    # 1x1 conv 768 -> 128 and a 5x5 conv 128 -> 768, each with BatchNorm, and a linear layer.
    auxiliary = 768 * 128 + 2 * 128 + 25 * 128 * 768 + 2 * 768 + 768 * 1000 + 1000
    assert params("torchvision/inception_v3") == 27_161_264 - auxiliary


@pytest.mark.parametrize(
    "id",
    [
        "timm/resnet18@160",
        "timm/vit_tiny_patch16_224@160",
        "timm/swin_tiny_patch4_window7_224@448",
        "torchvision/vit_b_32@256",
        "torchvision/maxvit_t@448",
        "torchvision/resnet18@160",
        "pytorchcv/regnetx002@160",
        pytest.param("timm/mobilenetv1_100@128", marks=pytest.mark.requires("timm>=1.0.4")),
    ],
)
def test_an_architecture_can_be_built_for_another_input_size(id: str) -> None:
    assert scores(id) == (1, 1000)


def test_weights_are_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    for id in ("timm/resnet18", "torchvision/squeezenet1_1", "pytorchcv/squeezenet_v1_1"):
        assert isinstance(build(load_catalog().get(id)), nn.Module)


def failing(error: Exception) -> Callable[[], nn.Module]:
    def constructor() -> nn.Module:
        raise error

    return constructor


def test_a_constructors_failure_names_the_architecture_and_the_cause() -> None:
    cause = ValueError("width must be positive")
    with pytest.raises(ArchitectureError) as caught:
        construct(ModelSpec.of(failing(cause), name="mine"))
    assert str(caught.value) == "local/mine cannot be built: ValueError: width must be positive"
    assert caught.value.__cause__ is cause


def test_a_failure_without_a_message_is_named_by_its_kind() -> None:
    with pytest.raises(ArchitectureError) as caught:
        construct(ModelSpec.of(failing(AssertionError()), name="mine"))
    assert str(caught.value) == "local/mine cannot be built: AssertionError"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
)
def test_running_out_of_memory_is_not_the_architectures_fault(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        construct(ModelSpec.of(failing(error), name="mine"))
    assert caught.value is error


def test_a_constructor_that_returns_no_module_is_refused() -> None:
    with pytest.raises(ArchitectureError) as caught:
        construct(ModelSpec.of(lambda: 7, name="mine"))
    assert str(caught.value) == (
        "local/mine cannot be built: its constructor returned int, expected a torch.nn.Module. "
        "Name a function that returns the network itself"
    )


def test_ones_own_constructor_gets_its_arguments() -> None:
    spec = ModelSpec.of(nn.Linear, kwargs={"in_features": 3, "out_features": 2})
    model = construct(spec).module
    assert isinstance(model, nn.Linear)
    assert model.weight.shape == (2, 3)


def test_only_the_library_that_is_needed_is_imported() -> None:
    program = (
        "import sys; from archbench.core.spec import ModelSpec; "
        "from archbench.models.building import build; "
        "build(ModelSpec('archbench', 'bn_alexnet')); "
        "print(sorted({'timm', 'torchvision', 'pytorchcv'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_an_unknown_library_cannot_be_listed() -> None:
    with pytest.raises(UsageError) as caught:
        names("keras")
    assert str(caught.value) == (
        "library 'keras': archbench knows how to list timm, torchvision, pytorchcv. "
        "Name one of these"
    )


@pytest.mark.requires("pytorchcv>=0.0.68")
def test_discovery_lists_classifiers_and_refuses_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = ["resnet18", "resnet20_cifar10", "efficientnet_b1", "quartznet5x5_en_ls"]
    library = libraries._library("pytorchcv")._replace(names=lambda: chosen)
    monkeypatch.setitem(libraries._LIBRARIES, "pytorchcv", library)
    seen: list[str] = []
    found = discover("pytorchcv", seen.append)
    assert seen == sorted(chosen)
    assert found.library == "pytorchcv"
    assert found.version == library_version("pytorchcv")
    assert [(model.name, model.input_size) for model in found.models] == [
        ("efficientnet_b1", (3, 240, 240)),
        ("resnet18", (3, 224, 224)),
    ]
    assert found.skipped.keys() == {"resnet20_cifar10", "quartznet5x5_en_ls"}
    assert found.skipped["resnet20_cifar10"] == "it has 10 classes, not 1000"


def test_discovery_repeats_the_stored_list(monkeypatch: pytest.MonkeyPatch) -> None:
    from archbench.catalog.lists import read_list

    if read_list("timm").version != library_version("timm"):
        pytest.skip("the stored list is of another version of timm")
    chosen = ["resnet50", "vit_base_patch14_dinov2", "mobilenetv5_300m_enc"]
    library = libraries._library("timm")._replace(names=lambda: chosen)
    monkeypatch.setitem(libraries._LIBRARIES, "timm", library)
    found = discover("timm")
    stored = {model.name: model for model in read_list("timm").models}
    assert found.models == (stored["resnet50"], stored["vit_base_patch14_dinov2"])
    assert found.skipped == {
        name: read_list("timm").skipped[name] for name in ("mobilenetv5_300m_enc",)
    }


def test_a_version_has_no_suffix_of_its_compilation() -> None:
    assert "+" not in library_version("torch")
