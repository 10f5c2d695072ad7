"""Architectures of the published comparisons that no model library ships.

Importing this package imports no torch; :func:`constructor` does, for the module it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from archbench.core.errors import UsageError

if TYPE_CHECKING:
    from torch import nn


CONSTRUCTORS: dict[str, str] = {
    "bn_alexnet": "archbench.zoo.alexnet:bn_alexnet",
    "bn_nin": "archbench.zoo.nin:bn_nin",
    "densenet264": "archbench.zoo.densenet:densenet264",
    "enet_classifier": "archbench.zoo.enet:enet_classifier",
    "fbresnet152": "archbench.zoo.resnet:fbresnet152",
    "googlenet_lrn": "archbench.zoo.googlenet:googlenet_lrn",
    "msdnet_a": "archbench.zoo.msdnet:msdnet_a",
    "msdnet_b": "archbench.zoo.msdnet:msdnet_b",
    "msdnet_c": "archbench.zoo.msdnet:msdnet_c",
    "msdnet_d": "archbench.zoo.msdnet:msdnet_d",
}
"""Name of an architecture -> ``module:function`` of its constructor."""

BUILT_ON: dict[str, str] = {
    "densenet264": "torchvision",
    "fbresnet152": "torchvision",
    "msdnet_a": "pytorchcv",
    "msdnet_b": "pytorchcv",
    "msdnet_c": "pytorchcv",
    "msdnet_d": "pytorchcv",
}
"""Name of an architecture -> the library whose parts it is made of; the others are made of torch's
alone."""


def constructor(name: str) -> Callable[..., nn.Module]:
    """The constructor of one architecture; its module, and torch with it, is imported here.

    Each constructor takes ``num_classes`` (1000 by default) and returns a module with random
    weights that maps images (N, 3, H, W) to logits (N, num_classes).

    Raises:
        UsageError: the zoo has no architecture of that name.
    """
    if name not in CONSTRUCTORS:
        raise UsageError(
            asked=f"archbench/{name}",
            found=f"archbench itself defines only {', '.join(CONSTRUCTORS)}",
            todo="Use one of these names, or the library that has the architecture.",
        )
    module, _, function = CONSTRUCTORS[name].partition(":")
    build: Callable[..., nn.Module] = getattr(import_module(module), function)
    return build
