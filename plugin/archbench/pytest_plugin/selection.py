"""Which architectures a run is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

import pytest

from archbench.core.errors import UsageError
from archbench.core.spec import ModelSpec
from archbench.pytest_plugin.manifest import cell_of
from archbench.pytest_plugin.settings import Settings

__all__ = ["known_architecture", "one_model", "select_models"]


def _of_node_ids(config: pytest.Config) -> list[str]:
    """The architectures that the test ids on the command line name."""
    cells = [cell_of(argument) for argument in config.args]
    return list(dict.fromkeys(cell[0] for cell in cells if cell is not None))


def _matching(pattern: str, own: Iterable[ModelSpec]) -> list[ModelSpec]:
    """One's own architectures that an id or glob names, at the size that follows its ``@``."""
    name, at, size = pattern.partition("@")
    found = [m for m in own if fnmatchcase(m.id, pattern) or fnmatchcase(m.short_name, pattern)]
    if found or not at or not size.isdecimal() or int(size) < 1:
        return found
    return [model.with_input_size(int(size)) for model in _matching(name, own)]


def _hook_models(config: pytest.Config) -> list[ModelSpec]:
    models: list[ModelSpec] = []
    for answer in config.hook.pytest_archbench_models(config=config):
        if not isinstance(answer, Iterable):
            raise UsageError(
                "pytest_archbench_models",
                f"returned {type(answer).__name__}",
                "Return a list: [ModelSpec.of(constructor)]",
            )
        for model in answer:
            if not isinstance(model, ModelSpec):
                raise UsageError(
                    "pytest_archbench_models",
                    f"returned {model!r} in its list",
                    "Wrap each constructor: [ModelSpec.of(constructor)]",
                )
            models.append(model)
    return models


def _each_once(models: Iterable[ModelSpec]) -> tuple[ModelSpec, ...]:
    chosen: dict[str, ModelSpec] = {}
    for model in models:
        before = chosen.setdefault(model.id, model)
        if before != model or before.constructor != model.constructor:
            raise UsageError(
                f"two architectures named {model.id}",
                "a cell is named after its architecture",
                "Rename one constructor, or give it a name: ModelSpec.of(constructor, name='...')",
            )
    return tuple(chosen.values())


def select_models(
    config: pytest.Config, settings: Settings, *, lenient: bool = False
) -> tuple[ModelSpec, ...]:
    """The architectures that a run is about, each once, in their order.

    Without ``--suite`` and ``--models``: those that test ids on the command line name, else one's
    own from the hook and the seed suite. ``--models`` filters a suite that is given.

    Args:
        config: of the run.
        settings: of the run.
        lenient: whether an architecture that is not there is left out: the process that started
            this one knows what it asked for, and another version of a project may have others.

    Raises:
        UsageError: an unknown suite or architecture, a glob that matches nothing.
    """
    from archbench.catalog import load_catalog

    own = _hook_models(config)
    requests = [
        part for value in settings.models for part in map(str.strip, value.split(",")) if part
    ]
    if not requests and settings.suite is None:
        requests = _of_node_ids(config)
    if not requests:
        return _each_once([*own, *load_catalog().select(settings.suite or ())])
    chosen: list[ModelSpec] = []
    for request in requests:
        chosen += _requested(config, settings, request, own, lenient=lenient)
    return _each_once(chosen)


def _requested(
    config: pytest.Config,
    settings: Settings,
    request: str,
    own: Sequence[ModelSpec],
    *,
    lenient: bool,
) -> list[ModelSpec]:
    """The architectures that one id, glob or file names."""
    try:
        return _named(config, settings, request, own)
    except UsageError:
        if not lenient:
            raise
        return []


def _named(
    config: pytest.Config, settings: Settings, request: str, own: Sequence[ModelSpec]
) -> list[ModelSpec]:
    from archbench.catalog import load_catalog
    from archbench.catalog.own_files import constructor_from_file, is_file_request

    if is_file_request(request):
        return [constructor_from_file(request, config.invocation_params.dir, "--models=")]
    mine = _matching(request, own)
    if request.startswith("local/") and not mine:
        raise UsageError(
            f"architecture {request!r}",
            f"this project's own architectures are {', '.join(m.id for m in own) or 'none'}",
            "Name one of them, or write --models=path/to/file.py:constructor",
        )
    try:
        found = load_catalog().select(settings.suite or (), request)
    except UsageError:
        # A name of one's own need not be in the catalogue as well.
        if not mine:
            raise
        found = ()
    return [*mine, *found]


def one_model(config: pytest.Config, request: str, asking: str) -> ModelSpec:
    """The one architecture that a request is about.

    Args:
        config: of the run.
        request: an id, or ``path/to/file.py:constructor``.
        asking: what stands before the request where it was typed, for messages.

    Raises:
        UsageError: it names none, or several.
    """
    from archbench.catalog import load_catalog
    from archbench.catalog.own_files import constructor_from_file, is_file_request

    if is_file_request(request):
        return constructor_from_file(request, config.invocation_params.dir, asking)
    found = _matching(request, _hook_models(config))
    if not found and not request.startswith("local/"):
        found = list(load_catalog().select((), request))
    if len(found) != 1:
        names = ", ".join(model.id for model in found[:5])
        raise UsageError(
            f"{asking}{request}",
            f"it names {len(found)} architectures: {names}" if found else "it names none",
            f"Write one id, for example {asking}timm/resnet50",
        )
    return found[0]


def known_architecture(config: pytest.Config) -> Callable[[str], bool]:
    """Whether some selection of this project can hold an architecture of a given id."""
    from archbench.catalog import load_catalog
    from archbench.pytest_plugin import selected_models

    catalog = load_catalog()
    own = _hook_models(config)
    selected = {model.id for model in selected_models(config)}
    ids = {*(model.id for model in own), *selected}
    asks_for_all = all(model.id in selected for model in own)

    def is_known(model: str) -> bool:
        name = model.rpartition("@")[0] or model
        if model in ids or name in ids:
            return True
        if model.startswith("local/"):
            # What a file on the command line names is known to that command alone, so a run that
            # asks for a part of one's own says nothing about the others.
            return not own or not asks_for_all
        return catalog.has(model)

    return is_known
