"""Work in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends it")
def test_an_export_ends_with_the_run_that_wants_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    code = f"""
        import os, pathlib, time
        from archbench.runtimes.apart import run_apart

        def work():
            pathlib.Path({str(file)!r} + "-").write_text(str(os.getpid()))
            os.rename({str(file)!r} + "-", {str(file)!r})
            time.sleep(600)

        run_apart(work)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)]) as process:
        wait_for(file.exists)
        process.kill()
    wait_for(lambda: not psutil.pid_exists(int(file.read_text())))


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
