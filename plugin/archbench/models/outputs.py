"""The class scores in what a network returns.

The rule, where nobody says which part they are (``scores=``):

1. A tensor is the scores.
2. Of a mapping, a dataclass or any object with such an attribute: ``logits``, else ``out``.
3. Else the only tensor of shape ``(N, classes)`` in it.
4. Of several, the first of a tuple, since further ones are auxiliary, and the last of a list, since
   it holds the exits of a network in their order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from archbench.core.errors import ArchitectureError
from archbench.core.spec import ModelSpec

__all__ = ["EVERY", "IMAGENET_CLASSES", "class_scores", "doubt_about", "every_exit"]

IMAGENET_CLASSES = 1000
"""Classes that a library's own architectures tell apart."""

NAMES = ("logits", "out")
"""What class scores are called, the most telling first."""

EVERY = "every"
"""``scores="every"``: all exits of a network are looked at; the last one is its result."""


def class_scores(
    spec: ModelSpec, output: object, images: int, *, any_classes: bool = False
) -> Tensor:
    """The class scores ``(images, classes)`` in what a model returned.

    Args:
        spec: what it is.
        output: what it returned.
        images: that it was given.
        any_classes: whether an architecture of a library may tell other classes apart than those
            of ImageNet-1k, as weights of other data do.

    Raises:
        ArchitectureError: there is no tensor in it, or not one row of scores for each image. Some
            architectures answer to a size that is not their own with a score for each place in
            the image, silently.
    """
    scores = _chosen(spec, output, images)
    shape = tuple(scores.shape)
    is_free = any_classes or spec.is_own or bool(spec.arguments)
    if len(shape) != 2 or shape[0] != images or not (is_free or shape[1] == IMAGENET_CLASSES):
        remedy = (
            "Return one row of scores for each image"
            if spec.is_own
            else "Use the input size that the architecture is made for"
        )
        raise ArchitectureError(
            f"{spec.id} returned scores of shape {shape} for {images} images of {spec.input_size}, "
            f"expected ({images}, {'classes' if is_free else IMAGENET_CLASSES}). {remedy}"
        )
    return scores


def every_exit(spec: ModelSpec, output: object, images: int) -> list[Tensor]:
    """The class scores of each exit of a network that has several; of any other the one.

    Raises:
        ArchitectureError: see :func:`class_scores`.
    """
    if spec.scores != EVERY:
        return [class_scores(spec, output, images)]
    exits = [tensor for _, tensor in _parts(output) if _is_scores(tensor, images)]
    if not exits:
        raise _nothing_found(spec, output, images)
    return exits


def doubt_about(spec: ModelSpec, output: object, images: int) -> str | None:
    """What to say where several parts of what a network returned could be its class scores."""
    if spec.scores is not None or isinstance(output, Tensor):
        return None
    parts = dict(_parts(output))
    several = [name for name, tensor in parts.items() if _is_scores(tensor, images)]
    if len(several) < 2 or any(name in parts for name in NAMES):
        return None
    taken = several[0] if isinstance(output, tuple) else several[-1]
    return (
        f"{', '.join(several)} of its {type(output).__name__} could be its class scores, and "
        f"{taken} was taken; scores= says which"
    )


def _chosen(spec: ModelSpec, output: object, images: int) -> Tensor:
    if isinstance(output, Tensor):
        return output
    if spec.scores == EVERY:
        return every_exit(spec, output, images)[-1]
    if spec.scores is not None:
        return _named(spec, output, images)
    parts = dict(_parts(output))
    for name in NAMES:
        named = parts.get(name)
        if isinstance(named, Tensor):
            return named
    tensors = [tensor for tensor in parts.values() if isinstance(tensor, Tensor)]
    found = [tensor for tensor in tensors if _is_scores(tensor, images)]
    if len(found) == 1 or (found and isinstance(output, tuple)):
        return found[0]
    if found and isinstance(output, list):
        return found[-1]
    if len(tensors) == 1 and isinstance(output, (tuple, list)):
        return tensors[0]  # of another shape, which its reader says
    raise _nothing_found(spec, output, images)


def _named(spec: ModelSpec, output: object, images: int) -> Tensor:
    """What a person says that the scores are: a key, an attribute or an index, or several with
    dots between them."""
    found: Any = output
    for part in str(spec.scores).split("."):
        parts = dict(_parts(found))
        index = int(part) if part.lstrip("-").isdecimal() else None
        if part in parts:
            found = parts[part]
        elif index is not None and isinstance(found, (tuple, list)) and (
            -len(found) <= index < len(found)
        ):  # fmt: skip
            found = found[index]
        else:
            raise ArchitectureError(
                f"{spec.id} has no {spec.scores!r} in what it returns, which is "
                f"{_described(output)}. Name one of these parts with scores="
            )
    if not isinstance(found, Tensor):
        raise ArchitectureError(
            f"{spec.id} returned {type(found).__name__} as {spec.scores!r}, expected a tensor of "
            "class scores"
        )
    return found


def _nothing_found(spec: ModelSpec, output: object, images: int) -> ArchitectureError:
    parts = dict(_parts(output))
    several = [name for name, tensor in parts.items() if _is_scores(tensor, images)]
    if not parts:
        return ArchitectureError(
            f"{spec.id} returned {type(output).__name__}, expected a tensor of class scores; "
            "return the scores alone in evaluation mode"
        )
    why = (
        f"{', '.join(several)} could all be its class scores"
        if several
        else f"none of it is a row of class scores for each of {images} images"
    )
    return ArchitectureError(
        f"{spec.id} returned {_described(output)}, and {why}. Say which: "
        f"ModelSpec.of(..., scores={(several or [*parts])[0]!r}), or return the scores alone in "
        "evaluation mode"
    )


def _is_scores(value: object, images: int) -> bool:
    return isinstance(value, Tensor) and value.ndim == 2 and value.shape[0] == images


def _parts(output: object) -> Iterator[tuple[str, Any]]:
    """The parts of what a network returned, by name: of a tuple or list ``0``, ``1``, ..."""
    if isinstance(output, Mapping):
        yield from ((str(name), value) for name, value in output.items())
    elif isinstance(output, tuple) and hasattr(output, "_fields"):
        yield from zip(output._fields, output, strict=True)
    elif isinstance(output, (tuple, list)):
        for index, value in enumerate(output):
            yield str(index), value
    elif dataclasses.is_dataclass(output):
        for item in dataclasses.fields(output):
            yield item.name, getattr(output, item.name)
    elif not isinstance(output, Tensor) and hasattr(output, "__dict__"):
        yield from vars(output).items()


def _described(output: object) -> str:
    def one(value: object) -> str:
        if isinstance(value, Tensor):
            return f"{tuple(value.shape)}"
        return type(value).__name__

    parts = ", ".join(f"{name}: {one(value)}" for name, value in _parts(output))
    return f"{type(output).__name__} of {parts}" if parts else type(output).__name__
