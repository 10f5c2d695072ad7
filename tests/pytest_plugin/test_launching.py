"""Fresh processes import what the one does that starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from archbench.pytest_plugin.launching import python_pytest

TELLS = """
import sys

def pytest_configure():
    print("found", "here" if {"", %r} & {*sys.path} else "elsewhere")
"""


@pytest.mark.parametrize("entry", [True, False], ids=["python -m pytest", "pytest"])
def test_the_directory_is_on_the_path_where_it_is_here(
    entry: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (tmp_path / "tells.py").write_text(TELLS % str(here), encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*([str(here)] if entry else []), "/elsewhere"])
    done = subprocess.run(
        [*python_pytest(here), "-p", "tells", "--collect-only", "-q"],
        cwd=here, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    assert f"found {'here' if entry else 'elsewhere'}\n" in done.stdout, done.stderr
    assert "no tests collected" in done.stdout
