"""The project's own rules and lists, read once in each process."""

from __future__ import annotations

import pytest

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
            config.stash[_CONFIGURATION] = read_configuration(config.rootpath)
    return config.stash[_CONFIGURATION]
