"""The project's own rules and lists, read once in each process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from archbench.core.errors import UsageError
from archbench.pytest_plugin.options import is_child, refusing
from archbench.store.configuration import Configuration, read_configuration

_CONFIGURATION: pytest.StashKey[Configuration] = pytest.StashKey()


def configuration_of(config: pytest.Config) -> Configuration:
    """The project's tolerances and budgets, read once in each process.

    Raises:
        pytest.UsageError: a file that cannot be read or makes no sense.
    """
    if _CONFIGURATION not in config.stash:
        with refusing(config):
            found = read_configuration(config.rootpath)
            if found == Configuration() and not is_child(config):
                _refuse_rules_elsewhere(config)
            config.stash[_CONFIGURATION] = found
    return config.stash[_CONFIGURATION]


def _refuse_rules_elsewhere(config: pytest.Config) -> None:
    """A run whose root has no rules would be about other networks, and judge by others, than the
    project that it is started in or above it."""
    root = config.rootpath
    for place in (*_chosen_away(config), *_above(config)):
        if place != root and (file := read_configuration(place).path) is not None:
            raise UsageError(
                f"a run in {root}",
                f"it has no rules of archbench's; {place} has, in {file.name}",
                f"Run pytest in {place}, or add --rootdir={place}",
            )


def _chosen_away(config: pytest.Config) -> Iterator[Path]:
    """Where a run is from that ``--rootdir`` or ``-c`` gives another root."""
    option = config.option
    if getattr(option, "rootdir", None) or getattr(option, "inifilename", None):
        yield config.invocation_params.dir
        if config.inipath is not None:
            yield config.inipath.parent


def _above(config: pytest.Config) -> Sequence[Path]:
    """The directories of the project above the root: pytest takes for it the directory in which it
    is started, where nothing configures it."""
    root = config.rootpath
    inside = next((one for one in (root, *root.parents) if (one / ".git").exists()), None)
    if config.inipath is not None or inside is None:
        return ()
    return root.parents[: len(root.parts) - len(inside.parts)]
