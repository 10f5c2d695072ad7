"""The project's own rules and lists, read once in each process."""

from __future__ import annotations

from pathlib import Path

import pytest

from archbench.core.errors import UsageError
from archbench.pytest_plugin.options import refusing
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
            if found == Configuration() and config.inipath is None:
                _refuse_rules_above(config.rootpath)
            config.stash[_CONFIGURATION] = found
    return config.stash[_CONFIGURATION]


def _refuse_rules_above(root: Path) -> None:
    """pytest takes for the root the directory in which it is started, where nothing configures it:
    below the project it would be about other networks."""
    inside = next((one for one in (root, *root.parents) if (one / ".git").exists()), None)
    if inside is None:
        return
    for above in root.parents[: len(root.parts) - len(inside.parts)]:
        if (above / "archbench.toml").exists():
            raise UsageError(
                f"a run in {root}",
                f"it has no rules of archbench's; {above} has, in archbench.toml",
                f"Run pytest in {above}, or add --rootdir={above}",
            )
