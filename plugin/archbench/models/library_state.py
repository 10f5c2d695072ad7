"""Registries of the libraries of networks, and switches that are variables of their modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from archbench.models.switches import Item

_KEPT_BY_LIBRARIES = {
    # Before 0.9 the one and the other had these names.
    "timm": (
        *("timm.models._registry", "timm.models.registry"),
        *("timm.layers.config", "timm.models.layers.config"),
    ),
    "torchvision": ("torchvision.models._api",),
}
"""Modules whose variables networks change, by the package whose import fills them."""

_PRISTINE: dict[str, dict[str, object]] = {}
"""What was in such a module right after its package had been imported."""


_READ: dict[str, dict[str, object]] = {}
"""What was in it when it was last read, which nobody changes."""


def _variables(name: str) -> dict[str, object] | None:
    """The variables of a module that can be put back; None while it is not imported."""
    module = sys.modules.get(name)
    if module is None:
        return None
    kept = (bool, int, float, str, dict, set, list)
    there = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, kept) and not key.startswith("__")
    }
    # Copying timm's registry takes four times as long as seeing that it is as it was.
    if _READ.get(name) != there:
        _READ[name] = {key: _copied(value) for key, value in there.items()}
    return _READ[name]


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: v.copy() if isinstance(v, (dict, set, list)) else v for k, v in value.items()}
    return value.copy() if isinstance(value, (set, list)) else value


def _set_variables(name: str, values: Mapping[str, object] | None) -> None:
    if values is None:
        # It was imported meanwhile: as it was when that had been done.
        values = _PRISTINE.get(name)
    module = sys.modules.get(name)
    if values is None or module is None:
        return
    for key, value in values.items():
        held = vars(module).get(key)
        if isinstance(held, (dict, set)) and type(held).__name__ != "mappingproxy":
            held.clear()
            held.update(_copied(value))
        elif isinstance(held, list) and isinstance(value, list):
            held[:] = value
        else:
            setattr(module, key, _copied(value))


class _AfterFirstImport(MetaPathFinder):
    """Notes what is in the modules of a library as soon as it is imported, by whomever."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname not in _KEPT_BY_LIBRARIES or all(
            name in _PRISTINE for name in _KEPT_BY_LIBRARIES[fullname]
        ):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or not isinstance(spec.loader, Loader):
            return None
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            _note_pristine(fullname)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _note_pristine(package: str) -> None:
    for name in _KEPT_BY_LIBRARIES[package]:
        found = _variables(name) if name not in _PRISTINE else None
        if found is not None:
            _PRISTINE[name] = found


def of_libraries() -> dict[str, Item]:
    """All that is watched of libraries, by module."""

    def item(name: str) -> Item:
        def same(one: Any, other: Any) -> bool:
            if one is None:  # it was imported meanwhile, which changes nothing
                one = _PRISTINE.get(name, other)
            return bool(one == other)

        return Item(lambda: _variables(name), lambda value: _set_variables(name, value), same=same)

    return {name: item(name) for names in _KEPT_BY_LIBRARIES.values() for name in names}


@contextmanager
def first_imports_noted() -> Iterator[None]:
    """Know afterwards what was in the modules of a library right after its import."""
    watcher = _AfterFirstImport()
    sys.meta_path.insert(0, watcher)
    for package in _KEPT_BY_LIBRARIES:
        _note_pristine(package)
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.meta_path.remove(watcher)
