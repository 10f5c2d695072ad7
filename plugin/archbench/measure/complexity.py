"""What a network costs on paper: counted by operator dispatch.

An architecture of a library is built on the meta device, where tensors have shapes and no numbers,
and nothing is computed. A network of a person's own is counted as it was built, by forward passes
over one image: it may read values, keep tensors anywhere and be scripted, and its count is of what
really ran.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parameter import UninitializedParameter

from archbench.core.complexity import Complexity
from archbench.core.errors import (
    ArchbenchError,
    ArchitectureError,
    NotMeasuredError,
    named,
    raised_as,
    text_of,
)
from archbench.core.spec import ModelSpec
from archbench.measure.ledger import Ledger
from archbench.measure.parameters import (
    count_parameters,
    parameter_metrics,
)
from archbench.measure.second_opinion import second_opinion_of
from archbench.measure.sheets import Sheet, refuse_what_varies
from archbench.models.building import build_on_meta
from archbench.models.inputs import synthetic_inputs
from archbench.models.networks import OwnNetwork, construct, let_go
from archbench.models.outputs import class_scores, doubt_about, tensors_in
from archbench.models.passes import (
    GRADIENTS,
    forward_named,
    random_state,
    run_first,
    threads,
    with_other_size,
)
from archbench.models.shapes import RememberedShapes

MORE_PASSES, PATIENCE = 14, 5.0
"""Passes, and seconds for all of them, under further seeds of a network that draws random numbers
or reads values: a layer that is left out one time in five is found in 96 of 100 counts."""


def count(
    spec: ModelSpec,
    built: nn.Module | OwnNetwork | None = None,
    *,
    second_opinion: bool = True,
) -> Complexity:
    """Count one architecture.

    Args:
        spec: what it is.
        built: as :func:`archbench.models.building.build_on_meta` returned it, or a person's own as
            :func:`archbench.models.networks.construct` did, if it has been built already. The
            parameters of the first lose their ``requires_grad``.
        second_opinion: whether ptflops is asked as well.

    Raises:
        ArchitectureError: it cannot be built, or returns no class scores.
        NotMeasuredError: its forward pass fails on the meta device, or calls an operator that may
            multiply and add and for which there is no formula, or is another one each time.
    """
    if spec.is_own:
        network = built if isinstance(built, OwnNetwork) else construct(spec)
        return count_own(network, second_opinion=second_opinion)
    model = built if isinstance(built, nn.Module) else build_on_meta(spec)
    inputs = synthetic_inputs(spec, 1, device="meta")
    shapes = RememberedShapes()
    with _failures_named(spec):
        if any(isinstance(param, UninitializedParameter) for param in model.parameters()):
            model(*inputs)  # lazy modules learn their sizes
        params = count_parameters(model)
        # Gradients stay enabled and the parameters' are switched off: under `no_grad` the counter
        # raises on some networks, and so it sees fused attention whole.
        model.requires_grad_(False)
        ledger, output = _passed(model, inputs, shapes)
        scores = class_scores(spec, output, images=1)
        sheet = Sheet(spec, model, inputs, ledger, params)
    opinion = second_opinion_of(model, inputs, ledger, shapes) if second_opinion else None
    return sheet.complexity(tuple(scores.shape), opinion)


def count_own(network: OwnNetwork, *, second_opinion: bool = True) -> Complexity:
    """Count a network of a person's own as it was built, once.

    Raises:
        ArchitectureError: its forward pass fails, or returns no class scores.
        NotMeasuredError: see :func:`count`. Its ``metrics`` have the parameters.
    """
    # A count with a second opinion serves one without.
    for with_opinion in (True, second_opinion):
        found = network.counted.get(with_opinion)
        if isinstance(found, Exception):
            raise found
        if found is not None:
            return found
    try:
        # Threads that wait for one another take a minute for a second's work on a busy machine.
        with network.in_place(), network.as_built(), threads(1):
            counted = _counted(network, second_opinion)
    except ArchbenchError as error:
        if isinstance(error, ArchitectureError):
            error.metrics = parameter_metrics(network.module)
        network.counted = dict.fromkeys((True, False), let_go(error))
        raise
    network.counted[second_opinion] = counted
    return counted


def _counted(network: OwnNetwork, second_opinion: bool) -> Complexity:
    spec, model = network.spec, network.module
    sheets: list[Sheet] = []
    with _fast_paths_off():
        first, output, gradients = _first_pass(network)
    with _fast_paths_off(), GRADIENTS[gradients]():
        deadline = time.monotonic() + PATIENCE
        for seed in range(2 + MORE_PASSES):
            if seed > 1 and (not sheets[0].may_vary or time.monotonic() > deadline):
                break
            before, given = _seeded(seed), network.inputs(seed=seed)
            earlier = [first, *(one.ledger for one in sheets)]
            sheet = _sheet(spec, model, given, earlier)
            sheet.draws = random_state() != before
            sheets.append(sheet)
            if not sheets[0].is_alike(sheet):
                _seeded(seed)
                keeps_state = not sheet.is_alike(
                    _sheet(spec, model, network.inputs(seed=seed), earlier)
                )
                refuse_what_varies(sheets[0], sheet, keeps_state=keeps_state)
        opinion = None
        if second_opinion:
            ledger = sheets[0].ledger
            with sdpa_kernel(SDPBackend.MATH), _without_onednn(ledger):
                opinion = second_opinion_of(model, network.inputs(), ledger, nullcontext())
    counted = sheets[0].complexity(tuple(class_scores(spec, output, images=1).shape), opinion)
    return replace(counted, doubt=doubt_about(spec, output, 1))


def _first_pass(network: OwnNetwork) -> tuple[Ledger, object, str]:
    """Run a pass that is not counted, in which what is lazy learns its sizes and caches are filled.

    Returns:
        Its ledger; what it returned; how it can be run, of :data:`GRADIENTS`.

    Raises:
        ArchitectureError: the pass fails.
        NotMeasuredError: it fails while its operators are watched, and at no other time.
    """
    spec, model = network.spec, network.module
    inputs = network.inputs()
    ledger = Ledger(model, inputs)

    def watched() -> object:
        with ledger.watching():
            return model(*inputs)

    try:
        output, gradients, _ = run_first(spec, watched)
        class_scores(spec, output, images=1)
        return ledger, output, gradients
    except ArchitectureError as error:
        failed = error
    try:
        output, _, _ = run_first(spec, lambda: model(*network.inputs()))
        class_scores(spec, output, images=1)
    except ArchitectureError as error:
        raise with_other_size(spec, model, error) from error.__cause__
    raise _not_watched(spec, model, failed.__cause__ or failed) from failed.__cause__


def _not_watched(spec: ModelSpec, model: nn.Module, cause: BaseException) -> NotMeasuredError:
    return NotMeasuredError(
        "not-counted",
        f"{spec.id} cannot be counted: it runs, but not while archbench watches its operators "
        f"({named(cause)}). Its latency is measured; for a count, run that part by operators that "
        "torch's modes can follow",
        parameter_metrics(model),
    )


@contextmanager
def _fast_paths_off() -> Iterator[None]:
    """Without operators that stand for whole layers, and without what scripts make of a graph."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _without_onednn(ledger: Ledger) -> Iterator[None]:
    """Without its operator of a recurrent layer, where a network has one: other layers are slow
    without it. Its other flags are left alone, which torch warns about when it is asked
    to keep them."""
    if not any("rnn_layer" in name for name in ledger.macs_by_operator):
        yield
        return
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


def _seeded(seed: int) -> tuple[Any, ...]:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    return random_state()


def _passed(
    model: nn.Module, inputs: Sequence[Tensor], shapes: AbstractContextManager[object]
) -> tuple[Ledger, object]:
    ledger = Ledger(model, inputs)
    with shapes, ledger.watching():
        output = model(*inputs)
    return ledger, output


def _sheet(
    spec: ModelSpec, model: nn.Module, inputs: Sequence[Tensor], earlier: Sequence[Ledger]
) -> Sheet:
    """Run a pass of a network with values and count it.

    Raises:
        NotMeasuredError: the count is not of the whole, or the pass fails while it is watched.
    """
    ledger = Ledger(model, inputs, earlier)
    try:
        with forward_named(spec), ledger.watching():
            output = model(*inputs)
    except ArchitectureError as error:
        raise _not_watched(spec, model, error.__cause__ or error) from error.__cause__
    ledger.returned(tensors_in(output))
    return Sheet(spec, model, inputs, ledger, count_parameters(model))


def _failures_named(spec: ModelSpec) -> AbstractContextManager[None]:
    def failed(error: BaseException) -> NotMeasuredError:
        # Whatever a network's own code raises on this size or on meta; AssertionError is common.
        text = f"{type(error).__name__}: {text_of(error)}".removesuffix(": ")
        return NotMeasuredError(
            "not-counted",
            f"{spec.id} cannot be counted: {text}. See whether it runs with images of "
            f"{'x'.join(map(str, spec.input_size))}; what cannot be counted at all is in "
            "docs/complexity.md",
        )

    return raised_as(failed, memory=True)
