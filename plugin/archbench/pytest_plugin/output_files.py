"""That no two reports of a run go to one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest


def refuse_one_for_two(config: pytest.Config, written: Mapping[str, Path | None]) -> None:
    """See that no two reports go to one file.

    Raises:
        pytest.UsageError: two do.
    """
    others = {"junitxml": getattr(config.option, "xmlpath", None)}
    here = config.invocation_params.dir
    paths = {name: path for name, path in written.items() if path is not None}
    paths |= {name: (here / text).resolve() for name, text in others.items() if text}
    by_path: dict[Path, str] = {}
    for name, path in paths.items():
        other = by_path.setdefault(path, name)
        if other != name:
            raise pytest.UsageError(
                f"--{other} and --{name} both write to {path}: one would be lost. Name two files"
            )
