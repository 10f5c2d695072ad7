"""Starts processes of tests from one that has imported torch."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).parent


@contextlib.contextmanager
def preloaded(
    variables: Mapping[str, str], modules: Sequence[str] = ()
) -> Generator[str, None, None]:
    """The path of what stands for the interpreter, for as long as the template runs.

    Args:
        variables: that the template is started with.
        modules: that it imports beside torch.
    """
    with tempfile.TemporaryDirectory(prefix="archbench-") as directory:
        place = Path(directory)
        python = place / "python"
        text = (HERE / "client.py").read_text(encoding="utf-8")
        text = text.replace("SOCKET", str(place / "socket"), 1)
        text = text.replace("INTERPRETER", sys.executable, 1)
        python.write_text(f"#!{sys.executable} -IS\n{text}", encoding="utf-8")
        python.chmod(0o755)
        # A fork adds to Python's path what its own client has there.
        environment = {k: v for k, v in variables.items() if k != "PYTHONPATH" or modules}
        environment["OPENBLAS_NUM_THREADS"] = "1"
        template = subprocess.Popen(
            [sys.executable, str(HERE / "template.py"), str(place / "socket"), *modules],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
        )  # fmt: skip
        with template:
            assert template.stdout is not None
            template.stdout.readline()
            yield str(python)
