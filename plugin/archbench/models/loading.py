"""From a :class:`ModelSpec` and a :class:`Target` to a model that is ready to run."""

from __future__ import annotations

import atexit
import contextlib
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from archbench.core.errors import ArchitectureError
from archbench.core.spec import ModelSpec, Target
from archbench.models.building import build
from archbench.models.filling import fill_weights, parameters_on_meta
from archbench.models.installed import require

__all__ = [
    "TORCH_DTYPES",
    "Compiled",
    "LoadedModel",
    "ModelHolder",
    "class_scores",
    "free_cached",
    "load",
    "synthetic_images",
    "torch_memory_format",
]

TORCH_DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "amp-fp16": torch.float32,
    "amp-bf16": torch.float32,
    "int8": torch.float32,
}
"""In what weights are loaded and images are given, by precision. Quantisation comes after
loading."""

IMAGENET_CLASSES = 1000


@dataclass(frozen=True, slots=True)
class Compiled:
    """A model as torch's compiler has made it.

    Attributes:
        module: to be called like the model.
        graphs: that it was taken apart into.
        metrics: of the compilation, as a record has them.
    """

    module: Callable[[Any], object]
    graphs: int
    metrics: dict[str, dict[str, Any]]


@dataclass(slots=True)
class LoadedModel:
    """A model in evaluation mode on its device.

    Attributes:
        spec: what it is.
        target: where it is and how it is fed.
        module: the model.
        load_seconds: building and filling.
        compiled: the model as a compiler has made it, and what that cost, once it has.
    """

    spec: ModelSpec
    target: Target
    module: nn.Module
    load_seconds: float
    compiled: Compiled | None = None

    def images(self) -> Tensor:
        """A batch of synthetic images, as the target wants them."""
        return synthetic_images(self.spec, self.target)

    def __call__(self, images: Tensor) -> Tensor:
        """Class scores ``(N, classes)`` of images ``(N, C, H, W)``."""
        return class_scores(self.spec, self.module(images), images.shape[0])


def class_scores(spec: ModelSpec, output: object, images: int) -> Tensor:
    """The class scores ``(images, classes)`` in what a model returned.

    Raises:
        ArchitectureError: there is no tensor in it, or not one row of scores for each image. Some
            architectures answer to a size that is not their own with a score for each place in
            the image, silently.
    """
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        raise ArchitectureError(
            f"{spec.id} returned {type(output).__name__}, expected a tensor of class "
            "scores; return the scores alone in evaluation mode"
        )
    shape = tuple(output.shape)
    is_local = spec.library == "local"
    if len(shape) != 2 or shape[0] != images or not (is_local or shape[1] == IMAGENET_CLASSES):
        remedy = (
            "Return one row of scores for each image"
            if is_local
            else "Use the input size that the architecture is made for"
        )
        raise ArchitectureError(
            f"{spec.id} returned scores of shape {shape} for {images} images of {spec.input_size}, "
            f"expected ({images}, {'classes' if is_local else IMAGENET_CLASSES}). {remedy}"
        )
    return output


def synthetic_images(spec: ModelSpec, target: Target, seed: int = 0) -> Tensor:
    """Normalised noise ``(batch, C, H, W)``: what an image looks like after mean and std."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn((target.batch_size, *spec.input_size), generator=generator)
    placed = images.to(device=target.device, dtype=TORCH_DTYPES[target.dtype])
    return placed.to(memory_format=torch_memory_format(target))


def torch_memory_format(target: Target) -> torch.memory_format:
    """How images lie in memory, in torch's terms."""
    return torch.channels_last if target.memory_format == "nhwc" else torch.contiguous_format


def load(spec: ModelSpec, target: Target) -> LoadedModel:
    """Build an architecture, fill its weights, move it to the target's device and precision.

    Raises:
        ArchitectureError: the constructor failed or did not return a module.
        NotMeasuredError: it cannot be quantised.
        MemoryError, RuntimeError: the model does not fit into the device's memory.
    """
    start = time.perf_counter()
    with parameters_on_meta():
        module = build(spec)
    fill_weights(module, torch.device(target.device), TORCH_DTYPES[target.dtype])
    module.eval().requires_grad_(False)
    if target.memory_format == "nhwc":
        module.to(memory_format=torch.channels_last)
    if target.dtype == "int8":
        from archbench.models.quantizing import quantize

        module = quantize(spec, module, synthetic_images(spec, target))
    return LoadedModel(spec, target, module, time.perf_counter() - start)


class ModelHolder:
    """Keeps the one model that is loaded, and frees it before the next.

    Cells that differ only in batch size share the model.
    """

    def __init__(self) -> None:
        self._loaded: LoadedModel | None = None
        self._libraries: set[str] = set()

    def get(self, spec: ModelSpec, target: Target) -> LoadedModel:
        """The model, loaded unless it is the one that is held."""
        held = self._loaded
        if held is not None and held.spec == spec and _same_model(held.target, target):
            return LoadedModel(spec, target, held.module, held.load_seconds)
        self.free()
        if spec.library not in self._libraries:
            require(spec)
            self._libraries.add(spec.library)
            # Hundreds of thousands of objects that will never be garbage: out of the collector's
            # way, since it runs before each series of samples.
            gc.collect()
            gc.freeze()
            # Frozen objects would survive the interpreter's own clean-up, and be called leaks.
            atexit.register(gc.unfreeze)
        self._loaded = load(spec, target)
        return self._loaded

    def free(self) -> None:
        """Let the model go, with the device memory that it holds."""
        if self._loaded is None:
            return
        kind = self._loaded.target.kind
        self._loaded = None
        gc.collect()
        free_cached(kind)


def free_cached(kind: str) -> None:
    """Give the device what the framework keeps of its memory without using it.

    After an error that leaves the device unusable this does nothing, since nothing would help.
    """
    if kind == "cpu":
        return
    with contextlib.suppress(RuntimeError):
        give_back = getattr(getattr(torch, kind, None), "empty_cache", None)
        if give_back is not None:
            give_back()


def _same_model(one: Target, other: Target) -> bool:
    return (one.device, one.dtype, one.memory_format) == (
        other.device,
        other.dtype,
        other.memory_format,
    )
