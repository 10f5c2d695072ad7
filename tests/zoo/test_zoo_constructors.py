"""What holds for every architecture of the zoo, and for asking it for one."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from archbench.core.errors import UsageError
from archbench.zoo import CONSTRUCTORS, constructor

NAMES = sorted(CONSTRUCTORS)


def test_listing_the_zoo_imports_no_torch() -> None:
    program = (
        "import sys, archbench.zoo as zoo; sys.exit(bool({'torch', 'pytorchcv'} & {*sys.modules}))"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as raised:
        constructor("resnet50")

    assert str(raised.value) == (
        "archbench/resnet50: archbench itself defines only bn_alexnet, bn_nin, densenet264, "
        "enet_classifier, fbresnet152, googlenet_lrn, msdnet_a, msdnet_b, msdnet_c, msdnet_d. "
        "Use one of these names, or the library that has the architecture."
    )
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("name", NAMES)
def test_constructor_is_named_as_asked_for(name: str) -> None:
    assert constructor(name).__name__ == name


@pytest.mark.parametrize("name", NAMES)
def test_random_image_gives_finite_logits(name: str) -> None:
    torch.manual_seed(0)
    model = constructor(name)().eval()

    with torch.inference_mode():
        logits = model(torch.randn(1, 3, 224, 224))

    assert logits.shape == (1, 1000)
    assert logits.isfinite().all()
    assert logits.std() > 0


@pytest.mark.parametrize("name", NAMES)
def test_training_batches_other_sizes_and_other_classes(name: str) -> None:
    with torch.device("meta"):
        model = constructor(name)(num_classes=7).train()
        for size in (192, 256):
            logits = model(torch.zeros(2, 3, size, size))
            assert isinstance(logits, torch.Tensor)
            assert logits.shape == (2, 7)

    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
