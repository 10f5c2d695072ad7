"""A network's layers and modules, read off the network on the meta device."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from archbench.core.complexity import Complexity
from archbench.core.errors import (
    NotMeasuredError,
    first_line,
    is_out_of_memory,
    raised_as,
    text_of,
)
from archbench.core.layer_table import (
    LayerTable,
    ModuleCall,
    ModuleParameters,
    layer_table,
)
from archbench.core.spec import ModelSpec
from archbench.core.summary import (
    PARTS,
    ModuleOutline,
    ModuleTree,
    Summary,
    assemble,
    prune,
    total_costs,
)
from archbench.measure.complexity import count
from archbench.measure.elements import count_elements
from archbench.measure.parameters import count_parameters
from archbench.models.building import build_on_meta
from archbench.models.inputs import synthetic_inputs
from archbench.models.libraries import library_version
from archbench.models.memory_guard import memory_guard
from archbench.models.networks import OwnNetwork, construct
from archbench.models.outputs import class_scores
from archbench.models.parameters import hookable, weights_by_module
from archbench.models.passes import GRADIENTS, run_first
from archbench.models.shapes import RememberedShapes


def summarize(
    spec: ModelSpec,
    *,
    parts: Collection[str] = PARTS,
    convention: str = "macs",
    depth: int | None = None,
    batch_size: int | None = None,
) -> Summary:
    """What ``archbench summary`` shows.

    Args:
        spec: the architecture.
        parts: of :data:`archbench.core.summary.PARTS`.
        convention: of the tree, one of :data:`archbench.core.summary.TREE_CONVENTIONS`.
        depth: the deepest level of modules to list, all by default.
        batch_size: images of the layer table's batch, by default one.

    Raises:
        ArchitectureError: it cannot be built, or returns no class scores.
        NotMeasuredError: its forward pass fails on the meta device, or it is too large even there,
            or ptflops fails on it.
    """
    with memory_guard(), _failures_named(spec), _opened(spec) as built:
        table = layers(spec, built, depth, batch_size) if "layers" in parts else None
        tree = module_tree(spec, built, convention, depth) if "tree" in parts else None
    return Summary(spec.id, spec.input_size, table, tree)


def _failures_named(spec: ModelSpec) -> contextlib.AbstractContextManager[None]:
    def failed(error: BaseException) -> NotMeasuredError:
        if is_out_of_memory(error):
            return NotMeasuredError(
                "out-of-memory",
                f"{spec.id} does not fit into memory: {first_line(error)}. "
                "Ask for smaller images or a smaller batch",
            )
        # Whatever a network's own code raises on this size or on meta; AssertionError is common.
        size = "x".join(map(str, spec.input_size))
        return NotMeasuredError(
            "not-summarised",
            f"{spec.id} cannot be summarised with images of {size}: {type(error).__name__}: "
            f"{text_of(error)}{'' if spec.is_own else '. Try the input size that it is made for'}",
        )

    return raised_as(failed, memory=True)


Built = nn.Module | OwnNetwork
"""A network on the meta device, or a person's own as it was built, while it is in place."""


@contextlib.contextmanager
def _opened(spec: ModelSpec) -> Iterator[Built]:
    if not spec.is_own:
        yield build_on_meta(spec)
        return
    network = construct(spec)
    with network.in_place():
        yield network


def counts_by_convention(
    spec: ModelSpec,
) -> tuple[Complexity, dict[str, int], tuple[int, int] | None]:
    """An architecture's counts, the elements that conventions count besides, and ptflops' params
    and MACs with functional counting off, None where it fails.

    Raises:
        ArchitectureError, NotMeasuredError: see :func:`archbench.measure.complexity.count`.
    """
    with _opened(spec) as built:
        complexity = count(spec, built)
        elements = count_elements(_model(built), _inputs(spec, built))
        ptflops = None
        with contextlib.suppress(NotMeasuredError):
            # It counts parameters that require a gradient only, which counting takes away.
            _model(built).requires_grad_(True)
            ptflops = ptflops_costs(spec, built)[:2]
    return complexity, elements, ptflops


def _inputs(spec: ModelSpec, built: Built, batch_size: int = 1) -> tuple[Tensor, ...]:
    if isinstance(built, OwnNetwork):
        return built.inputs(batch_size)
    return synthetic_inputs(spec, batch_size, device="meta")


def _model(built: Built) -> nn.Module:
    return built.module if isinstance(built, OwnNetwork) else built


def layers(
    spec: ModelSpec, built: Built, depth: int | None = None, batch_size: int | None = None
) -> LayerTable:
    """The layer table of one forward pass.

    Args:
        spec: the architecture.
        built: see :data:`Built`.
        depth: the deepest level of modules that have rows.
        batch_size: images of the batch, by default one.
    """
    model, inputs = _model(built), _inputs(spec, built, batch_size or 1)
    calls: list[ModuleCall] = []
    with _quietly(spec, built, inputs), _calls_noted(model, calls):
        output = model(*inputs)
    class_scores(spec, output, inputs[0].shape[0])
    _, trainable = count_parameters(model)
    return layer_table(
        _parameters(model),
        calls,
        input_shape=tuple(inputs[0].shape),
        trainable_params=trainable,
        batch_size=batch_size,
        depth=depth,
    )


@contextlib.contextmanager
def _quietly(spec: ModelSpec, built: Built, inputs: tuple[Tensor, ...]) -> Iterator[None]:
    """With no more gradients than are needed, and where there are no values, fast."""
    if isinstance(built, OwnNetwork):
        _, gradients, _ = run_first(spec, lambda: built.module(*inputs))
        with GRADIENTS[gradients]():
            yield
        return
    with torch.no_grad(), RememberedShapes():
        yield


@contextlib.contextmanager
def _calls_noted(model: nn.Module, calls: list[ModuleCall]) -> Iterator[None]:
    def noting(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(module: nn.Module, args: Any, output: Any) -> None:
            calls.append(ModuleCall(name, tuple(_shapes(output))))

        return note

    handles = [module.register_forward_hook(noting(name)) for name, module in hookable(model)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _shapes(output: Any, within: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    if isinstance(output, Tensor):
        yield tuple(output.shape)
    elif isinstance(output, (tuple, list, Mapping)) and id(output) not in within:
        for item in output.values() if isinstance(output, Mapping) else output:
            yield from _shapes(item, (*within, id(output)))


def _parameters(model: nn.Module) -> list[ModuleParameters]:
    owners: dict[nn.Parameter, str] = {}
    modules = []
    for weights in weights_by_module(model):
        name, module = weights.name, weights.module
        own: list[str] = []
        borrowed: dict[str, int] = {}
        for parameter_name, parameter in module.named_parameters(name, recurse=False):
            owner = owners.setdefault(parameter, name)
            if owner == name:
                own.append(parameter_name)
            else:
                borrowed[owner] = borrowed.get(owner, 0) + parameter.numel()
        modules.append(
            ModuleParameters(
                name=name,
                type=type(module).__name__,
                params=weights.elements,
                parameters=tuple(own),
                borrowed=borrowed,
                # torchsummary's two; a dictionary of modules is never called anyway.
                is_container=isinstance(module, (nn.Sequential, nn.ModuleList)),
            )
        )
    return modules


def outline(model: nn.Module) -> ModuleOutline:
    """The modules as they nest, each place of a shared one with its own name."""
    first_places: dict[nn.Module, str] = {}

    def walk(module: nn.Module, name: str) -> ModuleOutline:
        first = first_places.setdefault(module, name)
        children = tuple(
            walk(child, f"{name}.{key}" if name else key)
            # Unlike `named_children`, every place of a module; None stands for one left out.
            for key, child in module._modules.items()
            if child is not None
        )
        return ModuleOutline(
            name=name,
            type=type(module).__name__,
            details=module.extra_repr(),
            children=children,
            shared_with=None if first == name else first,
        )

    return walk(model, "")


def module_tree(
    spec: ModelSpec, built: Built, convention: str = "macs", depth: int | None = None
) -> ModuleTree:
    """The modules with their params and MACs.

    Args:
        spec: the architecture.
        model: as :func:`archbench.models.building.build_on_meta` returned it.
        convention: one of :data:`archbench.core.summary.TREE_CONVENTIONS`.
        depth: the deepest level of modules to list.
    """
    model = _model(built)
    modules = outline(model)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    exact = count(spec, built, second_opinion=False)
    for parameter in trainable:
        # Counting takes it away, and ptflops counts those that have it.
        parameter.requires_grad_(True)
    if convention == "ptflops":
        counter = f"ptflops {library_version('ptflops')}"
        total_params, total_macs, costs = ptflops_costs(spec, built)
    else:
        counter = "archbench"
        total_params, total_macs = exact.params, exact.macs
        costs = total_costs(modules, exact.layers)
    root = assemble(modules, costs)
    return ModuleTree(
        convention=convention,
        counter=counter,
        root=root if depth is None else prune(root, depth),
        total_params=total_params,
        total_macs=total_macs,
        exact_macs=exact.macs,
    )


def ptflops_costs(spec: ModelSpec, built: Built) -> tuple[int, int, dict[str, tuple[int, int]]]:
    """What ptflops' ``pytorch`` backend counts with functional counting off.

    It puts a hook on each module of a type that it knows, with a formula over the shapes of what
    comes in and goes out. A module of such a type stands for all modules inside it.

    Args:
        spec: the architecture.
        built: see :data:`Built`; it is left as it was.

    Returns:
        Params, those that require a gradient only; MACs of one image; both by place.

    Raises:
        NotMeasuredError: ptflops fails on the network.
    """
    from ptflops import pytorch_engine as engine

    model, inputs = _model(built), _inputs(spec, built)
    attributes = {module: set(vars(module)) for module in model.modules()}
    # Its remarks go to standard output, which belongs to the summary.
    with contextlib.redirect_stdout(io.StringIO()):
        counting = engine.add_flops_counting_methods(model)
        try:
            counting.start_flops_count(ost=io.StringIO(), verbose=False, ignore_list=[])
            with torch.no_grad(), RememberedShapes():
                model(*inputs)
            costs = {
                name: _ptflops_total(module, engine.is_supported_instance)
                for name, module in model.named_modules(remove_duplicate=False)
            }
        except Exception as error:
            raise NotMeasuredError(
                "ptflops-failed",
                f"{spec.id} cannot be counted by ptflops {library_version('ptflops')}: "
                f"{type(error).__name__}: {error}. Use --convention=macs, which counts exactly",
            ) from error
        finally:
            counting.stop_flops_count()
            # It leaves its methods on the network, and notes on modules that are in two places.
            for module, names in attributes.items():
                for name in vars(module).keys() - names:
                    delattr(module, name)
    return engine.get_model_parameters_number(model), costs[""][1], costs


def _ptflops_total(module: nn.Module, is_supported: Callable[[nn.Module], bool]) -> tuple[int, int]:
    if is_supported(module):
        noted: Any = module
        return noted.__params__, int(noted.__flops__)
    inside = [_ptflops_total(child, is_supported) for child in module.children()]
    return sum(params for params, _ in inside), sum(macs for _, macs in inside)
