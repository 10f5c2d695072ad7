"""The first forward pass of a person's own network: what it needs, and what its values are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from archbench.core.errors import ArchitectureError, NotMeasuredError, text_of
from archbench.core.verdicts import Note
from archbench.models.outputs import class_scores, doubt_about
from archbench.models.passes import (
    GRADIENTS,
    forward_named,
    random_state,
    refusal_of_inference,
    run_first,
    with_other_size,
)
from archbench.models.switches import asked_for
from archbench.models.values import Calls, Seen, Trouble, fill_in_place, watch_pass

if TYPE_CHECKING:
    from archbench.models.loading import LoadedModel


_OF_PRECISION = ("dtype", "scalar type", "same type", "bfloat16", "half")
"""Of the messages by which torch says that two precisions do not go together."""

MOST_TRIED = 4
"""Images of the pass."""

_CHANCES = 8
"""Further passes of a network that draws random numbers, until one calls others than the first: an
even chance goes unseen once in 256."""


def try_out(loaded: LoadedModel) -> None:
    """Run a pass in the way that it is measured, and note what has to be said of it.

    The least that its code needs is found: inference mode, ``no_grad``, or gradients. Where the
    values that its constructor gave it would make times lie, whole tensors of it are filled, the
    bad ones first.

    Args:
        loaded: the model, in place and in its precision; how it is run and what is noted is set.

    Raises:
        ArchitectureError: the pass fails, or returns no class scores.
        NotMeasuredError: its code fixes a precision, and another one was asked for.
        MemoryError, RuntimeError: memory ran out.
    """
    batch = min(loaded.target.images, MOST_TRIED)
    inputs = loaded.fed(batch).inputs()
    kept = [tensor.clone() for tensor in inputs]
    asked = asked_for()
    try:
        output, watched, cause = _first_pass(loaded, inputs, batch)
        _note_what_it_sets(loaded, asked)
        loaded.changes_inputs = not all(map(_is_same, inputs, kept))
        class_scores(loaded.spec, output, batch)
        if loaded.gradients == "none":
            # What is made in that mode is of another kind, images too.
            fed = loaded.fed(batch)
            cause = refusal_of_inference(loaded.spec, lambda: loaded.module(*fed.inputs()))
            loaded.gradients = "inference" if cause is None else "none"
        later = _later_passes(loaded, batch, watched) if watched is not None else None
    except ArchitectureError as error:
        _refuse_fixed_precision(loaded, error)
        raise with_other_size(loaded.spec, loaded.module, error) from error.__cause__
    _note_precision(loaded)
    _note_how_it_runs(loaded, cause)
    _note_other_passes(loaded, watched, later)
    doubt = doubt_about(loaded.spec, output, batch)
    if doubt is not None:
        loaded.notes.append(Note("which-scores", doubt))
    if watched is not None and watched.trouble is not None and loaded.state is None:
        _fill(loaded, tuple(kept), watched.trouble)
    _note_filling(loaded)


def _note_filling(loaded: LoadedModel) -> None:
    network = loaded.network
    if network is not None and loaded.state is None and network.filled:
        loaded.notes.append(Note("filled", network.filled))


def _note_how_it_runs(loaded: LoadedModel, cause: BaseException | None) -> None:
    if cause is not None:
        how = "under no_grad" if loaded.gradients == "none" else "with gradients"
        text = f"its passes run {how}, since otherwise: {_first_sentence(cause)}"
        loaded.notes.append(Note("gradients", text))
    if loaded.changes_inputs:
        text = "its passes change their input, which is given back its values before each"
        loaded.notes.append(Note("changes-input", text))


def _note_what_it_sets(loaded: LoadedModel, asked: Mapping[str, object]) -> None:
    set_by_it = [name for name, value in asked_for().items() if value != asked[name]]
    if set_by_it:
        text = f"its passes set {' and '.join(set_by_it)} themselves, whatever is asked for"
        loaded.notes.append(Note("sets-for-itself", text))


def _first_pass(
    loaded: LoadedModel, inputs: tuple[Tensor, ...], batch: int
) -> tuple[object, Seen | None, BaseException | None]:
    """Run a pass and look at its values, as far as it runs while it is looked at.

    Returns:
        What the pass returned; what was seen, None where it was not; what was raised without
        gradients where they are needed.
    """
    spec, module = loaded.spec, loaded.module
    try:
        (output, seen), loaded.gradients, cause = run_first(
            spec, lambda: watch_pass(module, lambda: module(*inputs))
        )
        return output, seen, cause
    except ArchitectureError as error:
        failed = error
    fed = loaded.fed(batch)
    output, loaded.gradients, cause = run_first(spec, lambda: module(*fed.inputs()))
    text = (
        "its values were not looked at, since it does not run while archbench watches its "
        f"operators: {_first_sentence(failed.__cause__ or failed)}"
    )
    loaded.notes.append(Note("not-watched", text))
    return output, None, cause


def _is_same(now: Tensor, before: Tensor) -> bool:
    is_alike = now.shape == before.shape and now.stride() == before.stride()
    return is_alike and torch.equal(torch.nan_to_num(now), torch.nan_to_num(before))


def _note_other_passes(loaded: LoadedModel, first: Seen | None, found: _Later | None) -> None:
    if first is None or found is None or first.calls is None or first.products is None:
        return
    later, more = found.calls, found.grows_by
    if found.draws:
        few, many = sorted((first.products, later.products))
        text = (
            "it draws random numbers in evaluation mode: its scores may be others at each pass, "
            "its work is the same"
            if few == many
            else f"passes call {few} or {many} products: it draws random numbers in evaluation "
            "mode, and its time is that of whatever comes up"
        )
        loaded.notes.append(Note("draws-at-random", text))
        return
    if more:
        text = f"each pass returns {more:,} more elements than the one before: it keeps "
        text += "something from pass to pass, and its time is that of so many passes"
        loaded.notes.append(Note("grows", text))
        return
    if 2 * later.calls < first.calls:
        text = f"calls {later.calls} operators where the first called {first.calls}"
    elif later.products < first.products:
        text = f"calls {later.products} products where the first called {first.products}"
    else:
        return
    text = (
        f"a later pass {text}: it keeps results from pass to pass, and the time is that of the "
        "later ones"
    )
    loaded.notes.append(Note("keeps-results", text))


def _note_precision(loaded: LoadedModel) -> None:
    """Say of a network that runs as it was built that this is not fp32."""
    assert loaded.network is not None
    own, images = loaded.network.own_dtype, loaded.input_dtype
    if loaded.target.dtype == "fp32" and {own, images} != {torch.float32}:
        texts = [str(dtype).removeprefix("torch.") for dtype in (own, images)]
        fed = "" if own is images else f", with images in {texts[1]}"
        text = f"it was built in {texts[0]} and is timed so{fed}; any other --dtype converts it"
        loaded.notes.append(Note("precision", text))


def _refuse_fixed_precision(loaded: LoadedModel, error: ArchitectureError) -> None:
    """A network whose code casts runs as it was built, and is converted to no other precision."""
    text = str(error).lower()
    if loaded.target.dtype == "fp32" or not any(words in text for words in _OF_PRECISION):
        return
    raise NotMeasuredError(
        "precision-fixed",
        f"{error}. It was converted to {loaded.target.dtype}, and its code or a part of it keeps "
        "another precision. Use --dtype=fp32, which runs it as it was built",
    ) from error.__cause__


class _Later(NamedTuple):
    """What later passes were seen to do.

    Attributes:
        calls: of one on other images, or on the same again where that is less; of those that draw
            random numbers the first that calls other products, or the last of a few.
        draws: whether they draw random numbers.
        grows_by: elements by which one returns more than the one before it.
    """

    calls: Calls
    draws: bool
    grows_by: int = 0


def _later_passes(loaded: LoadedModel, batch: int, first: Seen) -> _Later:
    # In inference mode an operator that is made of others is one; the first pass had its parts.
    how = "none" if loaded.gradients == "inference" else loaded.gradients
    for _ in range(_CHANCES):
        inputs, watch, before = loaded.fed(batch).inputs(), Calls(), random_state()
        with forward_named(loaded.spec), GRADIENTS[how](), watch:
            loaded.module(*inputs)
        draws = random_state() != before
        if not draws or watch.products != first.products:
            break
    if draws or loaded.changes_inputs:
        return _Later(watch, draws)
    # Passes that are timed are all given the same tensors.
    with forward_named(loaded.spec), GRADIENTS[how](), Calls() as again:
        loaded.module(*inputs)
    grows_by = again.elements - watch.elements if again.calls >= watch.calls else 0
    return _Later(min(watch, again, key=lambda one: one.calls), draws, max(grows_by, 0))


def _fill(loaded: LoadedModel, inputs: tuple[Tensor, ...], found: Trouble) -> None:
    """Fill what has to be of the network as it was built, and note what was."""
    network, trouble = loaded.network, found
    assert network is not None
    for everything in (False, True):
        network.put_back()
        filled = fill_in_place(network.module, everything=everything)
        network.built.keep_values(list(filled.values()))
        loaded.place()
        if filled:
            network.filled = _filled_text(network.module, found, list(filled))
        with GRADIENTS[loaded.gradients]():
            fed = [tensor.clone() for tensor in inputs]
            _, seen = watch_pass(loaded.module, lambda: loaded.module(*fed))  # noqa: B023
        if seen.trouble is None:
            return
        trouble = seen.trouble
    # What its constructor gave it is as good.
    network.put_back()
    network.built.give_back_values()
    network.filled = ""
    loaded.place()
    text = f"its values are {trouble}, which moves times, and filling it did not help"
    loaded.notes.append(Note("doubtful-values", text))


def _filled_text(module: nn.Module, found: Trouble, filled: Sequence[str]) -> str:
    total = sum(1 for _ in module.parameters())
    which = filled[0] if len(filled) == 1 else f"{len(filled)} tensors, {filled[0]} first,"
    were = "was" if len(filled) == 1 else "were"
    return (
        f"its values were {found}, which moves times: {which} {were} filled with random numbers; "
        f"it has {total} parameters"
    )


def _first_sentence(error: BaseException) -> str:
    sentence = text_of(error).strip().partition("\n")[0].partition(". ")[0]
    return sentence or type(error).__name__
