"""Which architectures a run is about."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

import pytest

from archbench.catalog import load_catalog
from archbench.catalog.own import is_own_request, own_architectures, requests_in, rooted
from archbench.core.constructors import place_of
from archbench.core.errors import UsageError
from archbench.core.requests import parse_request
from archbench.core.spec import ModelSpec, OwnSource
from archbench.pytest_plugin.configuration import configuration_of
from archbench.pytest_plugin.manifest import cell_of
from archbench.pytest_plugin.options import is_child, refusing
from archbench.pytest_plugin.settings import Settings, settings_of
from archbench.pytest_plugin.shared import MODEL_ARGUMENT

_MODELS: pytest.StashKey[tuple[ModelSpec, ...]] = pytest.StashKey()


def _of_node_ids(config: pytest.Config) -> list[str]:
    """The architectures that the test ids on the command line name."""
    cells = [cell_of(argument) for argument in config.args]
    return list(dict.fromkeys(cell[0] for cell in cells if cell is not None))


def _matching(pattern: str, own: Iterable[ModelSpec]) -> list[ModelSpec]:
    """One's own architectures that an id or glob names, with the arguments and the size that
    follow it."""
    models = list(own)
    exact = [m for m in models if pattern in (m.id, m.short_name)]
    found = exact or [
        m for m in models if fnmatchcase(m.id, pattern) or fnmatchcase(m.short_name, pattern)
    ]
    if found:
        return found
    try:
        request = parse_request(pattern, pattern)
    except UsageError:
        return []  # the catalogue says what is wrong with it
    if request.is_plain:
        return []
    asked = (m.with_arguments(request.arguments) for m in _matching(request.name, models))
    return [m.with_input_size(request.size) if request.size else m for m in asked]


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


def listed_requests(config: pytest.Config) -> list[str]:
    """The architectures that the project's configuration asks for, as anybody may ask for them from
    any directory."""
    return [rooted(request, config.rootpath) for request in configuration_of(config).models]


def _own_models(config: pytest.Config) -> list[ModelSpec]:
    """What a run is about that names nothing: from the hook, and from the configuration."""
    models = _hook_models(config)
    for request in listed_requests(config):
        if is_own_request(request):
            models += _own(config, request, "models = ")
        else:
            models += load_catalog().select((), request)
    return models


def _refuse_empty_list(config: pytest.Config) -> None:
    """The suite would be measured in place of a project's own.

    Raises:
        UsageError: the project has a list, with nothing in it.
    """
    if config.hook.pytest_archbench_models.get_hookimpls():
        raise UsageError(
            "pytest_archbench_models",
            "it returned no architecture",
            "Return some, take the hook away, or say --suite=seeds for those that archbench brings",
        )


def each_once(models: Iterable[ModelSpec]) -> tuple[ModelSpec, ...]:
    """The same architectures, those that are named twice once.

    Raises:
        UsageError: two different networks have one name.
    """
    chosen: dict[str, ModelSpec] = {}
    for model in models:
        before = chosen.setdefault(model.id, model)
        if not before.is_same_network(model):
            raise two_of_one_name(before, model)
    return tuple(chosen.values())


def refuse_two_of_one_name(items: Sequence[pytest.Item]) -> None:
    """Refuse different networks of one name, from whichever parametrization they come.

    Raises:
        pytest.UsageError: says where both are.
    """
    params = [getattr(getattr(item, "callspec", None), "params", {}) for item in items]
    models = [one.get(name) for one in params for name in ("model_spec", MODEL_ARGUMENT)]
    try:
        each_once(model for model in models if isinstance(model, ModelSpec))
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def two_of_one_name(one: ModelSpec, other: ModelSpec) -> UsageError:
    """Two different networks have one name, so that a figure could be either's."""
    places = [
        str(model.constructor)
        if isinstance(model.constructor, OwnSource)
        else place_of(model.constructor)
        for model in (one, other)
    ]
    both = f"one from {places[0]}" + (
        f", the other from {places[1]}" if places[0] != places[1] else " twice, with other values"
    )
    return UsageError(
        f"two architectures named {one.id}",
        f"{both}; a cell is named after its architecture",
        "Rename one constructor, or give it a name: ModelSpec.of(constructor, name='...'), on a "
        "command line other=path/to/file.py:constructor",
    )


def select_models(
    config: pytest.Config, settings: Settings, *, lenient: bool = False
) -> tuple[ModelSpec, ...]:
    """The architectures that a run is about, each once, in their order.

    Without ``--suite`` and ``--models``: those that test ids on the command line name, else one's
    own from the hook and from the configuration, else the seed suite. A suite that is given joins
    one's own, and ``--models`` filters it.

    Args:
        lenient: whether an architecture that is not there is left out: the process that started
            this one knows what it asked for, and another version of a project may have others.

    Raises:
        UsageError: an unknown suite or architecture, a glob that matches nothing.
    """
    own = _own_models(config)
    here = config.invocation_params.dir
    requests = [part for value in settings.models for part in requests_in(value, here)]
    if not requests and settings.suite is None:
        requests = _of_node_ids(config)
    if not requests and own and settings.suite is None:
        return each_once(own)
    if not requests:
        if settings.suite is None:
            _refuse_empty_list(config)
        return each_once([*own, *load_catalog().select(settings.suite or ())])
    chosen: list[ModelSpec] = []
    for request in requests:
        chosen += _requested(config, settings, request, own, lenient=lenient)
    return each_once(chosen)


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
    if is_own_request(request):
        if settings.suite is not None:
            raise UsageError(
                f"--models={request} with --suite",
                "a suite filters names of the catalogue, and a file of networks is none",
                "Leave --suite out, or name the file in the project's table as models, which a "
                "suite joins",
            )
        return _own(config, request, "--models=")
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


def _own(config: pytest.Config, request: str, asking: str) -> list[ModelSpec]:
    return own_architectures(request, config.invocation_params.dir, asking, config.rootpath)


def one_model(config: pytest.Config, request: str, asking: str) -> ModelSpec:
    """The one architecture that a request is about.

    Args:
        request: an id, or ``path/to/file.py:constructor``.
        asking: what stands before the request where it was typed, for messages.

    Raises:
        UsageError: it names none, or several.
    """
    found = (
        _own(config, request, asking)
        if is_own_request(request)
        else _matching(request, _own_models(config))
    )
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


def selected_models(config: pytest.Config) -> tuple[ModelSpec, ...]:
    """The architectures that this run is about, looked up once."""
    if _MODELS not in config.stash:
        with refusing(config):
            config.stash[_MODELS] = select_models(
                config, settings_of(config), lenient=is_child(config)
            )
    return config.stash[_MODELS]


def known_architecture(config: pytest.Config) -> Callable[[str], bool]:
    """Whether some selection of this project can hold an architecture of a given id."""
    catalog = load_catalog()
    own = _own_models(config)
    selected = {model.id for model in selected_models(config)}
    ids = {*(model.id for model in own), *selected}
    asks_for_all = all(model.id in selected for model in own)

    def is_known(model: str) -> bool:
        name = re.sub(r"(\(.*\))?(@[^@/()]*)?$", "", model)
        if model in ids or name in ids:
            return True
        if model.startswith("local/"):
            # What a file on the command line names is known to that command alone, so a run that
            # asks for a part of one's own says nothing about the others.
            return not own or not asks_for_all
        return catalog.has(model)

    return is_known


def group_by_model(items: list[pytest.Item]) -> None:
    """Bring the tests of one architecture together, so that each model is loaded once.

    pytest orders by the parameters of session-scoped fixtures too, but with two of them
    (architecture, target) it may come back to an architecture that it has left.
    """
    places: dict[int, tuple[int, pytest.Item]] = {}
    first_seen: dict[str, int] = {}
    for place, item in enumerate(items):
        params = getattr(getattr(item, "callspec", None), "params", {})
        if MODEL_ARGUMENT in params:
            rank = first_seen.setdefault(params[MODEL_ARGUMENT].id, place)
            places[place] = rank, item
    ours = sorted(places.values(), key=lambda ranked: ranked[0])
    for place, (_, item) in zip(places, ours, strict=True):
        items[place] = item
