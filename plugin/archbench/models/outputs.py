"""The class scores in what a network returns.

The rule, where nobody says which part they are (``scores=``):

1. A tensor is the scores; for one image a vector is a row of them, as where a batch of one is
   squeezed away.
2. Of a mapping, a dataclass or any object with such an attribute: ``logits``, else ``out``.
3. Else the only tensor of shape ``(N, classes)`` in it, however deep.
4. Of several, the last of a list, since it holds the exits of a network in their order, and the
   first of anything else, since further ones are auxiliary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from archbench.core.errors import NoClassifierError
from archbench.core.spec import ModelSpec

IMAGENET_CLASSES = 1000
"""Number of classes of a library's own architectures."""

NAMES = ("logits", "out")
"""What class scores are called, the clearest name first."""

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
        any_classes: whether an architecture of a library may have other classes than those
            of ImageNet-1k, as weights of other data do.

    Raises:
        NoClassifierError: there is no tensor in it, or not one row of scores for each image. Some
            architectures answer to a size that is not their own with a score for each place in
            the image, silently.
    """
    scores = _chosen(spec, output, images)
    if scores.ndim == 1 and images == 1 and scores.is_floating_point():
        scores = scores.unsqueeze(0)
    shape = tuple(scores.shape)
    is_free = any_classes or spec.is_own or bool(spec.arguments)
    if len(shape) != 2 or shape[0] != images or not (is_free or shape[1] == IMAGENET_CLASSES):
        remedy = (
            "Return one row of scores for each image"
            if spec.is_own
            else "Use the input size that the architecture is made for"
        )
        raise NoClassifierError(
            f"{spec.id} returned scores of shape {shape} for {images} images of {spec.input_size}, "
            f"expected ({images}, {'classes' if is_free else IMAGENET_CLASSES}). {remedy}"
        )
    return scores


def every_exit(
    spec: ModelSpec, output: object, images: int, *, any_classes: bool = False
) -> list[Tensor]:
    """The class scores of each exit of a network that has several; of any other the one.

    Raises:
        NoClassifierError: see :func:`class_scores`.
    """
    if spec.scores != EVERY:
        return [class_scores(spec, output, images, any_classes=any_classes)]
    exits = list(_candidates(output, images).values())
    if not exits:
        raise _nothing_found(spec, output, images)
    return exits


def doubt_about(spec: ModelSpec, output: object, images: int) -> str | None:
    """What to say where several parts of what a network returned could be its class scores."""
    if spec.scores is not None or isinstance(output, Tensor):
        return None
    several = _candidates(output, images)
    if len(several) < 2 or any(name in dict(_parts(output)) for name in NAMES):
        return None
    taken = _pick(output, images)
    name = next(name for name, one in several.items() if one is taken)
    return (
        f"{', '.join(several)} of its {type(output).__name__} could be its class scores, and "
        f"{name} was taken; scores= says which"
    )


def _chosen(spec: ModelSpec, output: object, images: int) -> Tensor:
    if isinstance(output, Tensor):
        return output
    if spec.scores == EVERY:
        return every_exit(spec, output, images)[-1]
    if spec.scores is not None:
        return _named(spec, output)
    parts = dict(_parts(output))
    for name in NAMES:
        named = parts.get(name)
        if isinstance(named, Tensor):
            return named
    if _candidates(output, images):
        return _pick(output, images)
    tensors = list(_tensors(output).values())
    if len(tensors) == 1 and isinstance(output, (tuple, list)):
        return tensors[0]  # of another shape, which its reader says
    raise _nothing_found(spec, output, images)


def _pick(output: object, images: int) -> Tensor:
    """Of several parts that could be the class scores the one that most likely is."""
    able = {id(one) for one in _candidates(output, images).values()}
    within: tuple[int, ...] = ()
    while not isinstance(output, Tensor):
        within = (*within, id(output))
        parts = [
            part
            for _, part in _parts(output)
            if able & {id(one) for one in _tensors(part, within=within).values()}
        ]
        output = parts[-1] if isinstance(output, list) else parts[0]
    return output


def _candidates(output: object, images: int) -> dict[str, Tensor]:
    """The tensors in it that could be class scores, by name."""
    tensors = _tensors(output)
    rows = {name: one for name, one in tensors.items() if one.ndim == 2 and len(one) == images}
    return rows or {
        name: one
        for name, one in tensors.items()
        if one.ndim == 1 and images == 1 and one.is_floating_point()
    }


def tensors_in(output: object) -> list[Tensor]:
    """All tensors in what a network returned."""
    return list(_tensors(output).values())


def _tensors(output: object, depth: int = 4, within: tuple[int, ...] = ()) -> dict[str, Tensor]:
    """All tensors in what a network returned, by name, with dots between the levels.

    Args:
        output: what is looked at.
        depth: levels below it.
        within: what it is a part of: something may hold itself.
    """
    if isinstance(output, Tensor):
        return {"": output}
    if not depth or id(output) in within:
        return {}
    return {
        f"{name}.{deeper}".rstrip("."): tensor
        for name, part in _parts(output)
        for deeper, tensor in _tensors(part, depth - 1, (*within, id(output))).items()
    }


def _named(spec: ModelSpec, output: object) -> Tensor:
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
            raise NoClassifierError(
                f"{spec.id} has no {spec.scores!r} in what it returns, which is "
                f"{_described(output)}. Name one of these parts with scores="
            )
    if not isinstance(found, Tensor):
        deeper = [f"{spec.scores}.{name}" for name in _tensors(found)]
        remedy = f"Say which of it: scores={deeper[0]!r}" if deeper else "Name another part"
        raise NoClassifierError(
            f"{spec.id} returned {type(found).__name__} as {spec.scores!r}, expected a tensor of "
            f"class scores. {remedy}"
        )
    return found


def _nothing_found(spec: ModelSpec, output: object, images: int) -> NoClassifierError:
    tensors = _tensors(output)
    if not tensors:
        return NoClassifierError(
            f"{spec.id} returned {_described(output)}, expected a tensor of class scores; "
            "return the scores alone in evaluation mode"
        )
    return NoClassifierError(
        f"{spec.id} returned {_described(output)}, and none of it is a row of class scores for "
        f"each of {images} images. Say which: ModelSpec.of(..., scores={next(iter(tensors))!r}), "
        "or return the scores alone in evaluation mode"
    )


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
    tensors = [f"{name}: {tuple(one.shape)}" for name, one in _tensors(output).items()]
    more = ", ..." if len(tensors) > 8 else ""
    name = type(output).__name__
    return f"{name} of {', '.join(tensors[:8])}{more}" if tensors else name
