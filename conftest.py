"""Loads the plugin and gives its options their short spellings in this repository."""

import pytest

from archbench.pytest_plugin.options import add_options

pytest_plugins = ["archbench.pytest_plugin"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--gpu`` beside ``--archbench-gpu``; other projects keep their own ``--gpu``."""
    add_options(parser, prefix="--")
