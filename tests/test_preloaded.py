"""What stands for the interpreter in the tests does what the interpreter does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.preloaded import preloaded

TELLS = """
import os, sys
print(sys.argv, [one for one in sys.path if "preloaded" not in one], os.getcwd(), __name__)
print(os.environ["SHOWN"], sys.stdin.read(), os.getppid(), file=sys.stderr)
sys.exit(%s)
"""


def both(words: list[str], directory: Path, **more: str) -> list[tuple[int, str, str]]:
    """What the interpreter and what stands for it do: status and output."""
    environment = {**os.environ, "SHOWN": "as given", "PYTHONPATH": str(directory), **more}
    done = [
        subprocess.run(
            [python, *words], cwd=directory, env=environment, input="read", capture_output=True,
            text=True, check=False,
        )
        for python in (PYTHON, sys.executable)
    ]  # fmt: skip
    assert sys.executable != PYTHON
    return [(one.returncode, one.stdout, one.stderr) for one in done]


PYTHON = sys.executable
pytestmark = [
    pytest.mark.usefixtures("preloaded_python"),
    pytest.mark.skipif(
        sys.platform != "linux" or "ARCHBENCH_TESTS_WITHOUT_TEMPLATE" in os.environ,
        reason="processes of these tests start as usual",
    ),
]


@pytest.mark.parametrize("status", ["0", "3", "'a text'"])
@pytest.mark.parametrize("how", ["-c", "-m", "-m joined", "a file"])
def test_arguments_paths_streams_and_status(tmp_path: Path, how: str, status: str) -> None:
    (tmp_path / "tells.py").write_text(TELLS % status)
    words = {
        "-c": ["-c", TELLS % status],
        "-m": ["-u", "-m", "tells"],
        "-m joined": ["-mtells"],
        "a file": ["tells.py"],
    }[how]
    plain, preloaded = both([*words, "an", "--argument"], tmp_path)
    assert preloaded == plain
    assert plain[0] == {"0": 0, "3": 3}.get(status, 1)
    assert "as given read" in plain[2]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGINT])
def test_the_signal_that_ended_it(tmp_path: Path, number: int) -> None:
    code = f"import os, signal; signal.signal({number}, 0) if {number} == 2 else 0; os.kill(os.getpid(), {number})"  # noqa: E501
    plain, preloaded = both(["-c", code], tmp_path)
    assert preloaded[0] == plain[0] == -number


def test_an_error_that_nobody_catches(tmp_path: Path) -> None:
    plain, preloaded = both(["-c", "1 / 0"], tmp_path)
    assert preloaded == plain
    assert plain[2].endswith("ZeroDivisionError: division by zero\n")


LOADED = "import sys; print('torch' in sys.modules)"


def test_what_is_read_at_a_start_starts_an_interpreter(tmp_path: Path) -> None:
    assert both(["-c", LOADED], tmp_path)[1] == (0, "True\n", "")
    assert both(["-c", LOADED], tmp_path, OPENBLAS_NUM_THREADS="1")[1] == (0, "True\n", "")
    assert both(["-c", LOADED], tmp_path, OPENBLAS_NUM_THREADS="2")[1] == (0, "False\n", "")
    assert both(["-c", LOADED], tmp_path, OMP_NUM_THREADS="3")[1] == (0, "False\n", "")
    (tmp_path / "torch.ini").touch()
    assert both(["-c", LOADED], tmp_path)[1] == (0, "True\n", "")
    (tmp_path / "torch.py").touch()
    assert both(["-c", LOADED], tmp_path)[1] == (0, "False\n", "")


def test_another_archbench_and_what_it_finds_when_it_is_imported(tmp_path: Path) -> None:
    code = "import sys; print('torch' in sys.modules, 'archbench.metrics' in sys.modules)"
    assert both(["-c", code], tmp_path)[1] == (0, "True True\n", "")
    (tmp_path / "more-1.0.dist-info").mkdir()
    entries = tmp_path / "more-1.0.dist-info" / "entry_points.txt"
    entries.write_text("[pytest11]\nmore = more\n")
    assert both(["-c", code], tmp_path)[1] == (0, "True True\n", "")
    entries.write_text("[archbench.metrics]\nmore = more\n")
    assert both(["-c", code], tmp_path)[1] == (0, "True False\n", "")
    entries.unlink()
    (tmp_path / "archbench").mkdir()
    (tmp_path / "archbench" / "__init__.py").touch()
    assert both(["-c", code], tmp_path)[1] == (0, "True False\n", "")


def test_what_a_site_customizes(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; print(sys.path[:1]); sys.extra = 'an'")
    plain, preloaded = both(["-c", "import sys; print(sys.extra, sys.path[:2])"], tmp_path)
    assert preloaded == plain == (0, f"[{str(tmp_path)!r}]\nan ['', {str(tmp_path)!r}]\n", "")


@pytest.mark.parametrize("begun", [b"", b"abc", b"\x09" + 7 * b"\0" + b"{"])
def test_who_was_killed_before_it_had_asked_disturbs_nobody(tmp_path: Path, begun: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.connect(str(Path(sys.executable).with_name("socket")))
        killed.sendall(begun)
    assert both(["-c", LOADED], tmp_path)[1] == (0, "True\n", "")


def test_it_ends_with_what_stands_for_it(tmp_path: Path) -> None:
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        process = int(one.stdout.readline())
        one.kill()
        # Its end of the pipe is closed when it is gone.
        assert one.stdout.read() == ""
    assert process != one.pid


def test_it_imports_what_it_is_told_to(tmp_path: Path) -> None:
    code = "import sys, os; print('timm' in sys.modules, os.environ.get('TORCHINDUCTOR_CACHE_DIR'))"
    variables = {k: v for k, v in os.environ.items() if k != "TORCHINDUCTOR_CACHE_DIR"}
    with preloaded(variables, ["timm", "torch._dynamo"]) as python:
        done = subprocess.run(
            [python, "-c", code], cwd=tmp_path, env=variables, capture_output=True, check=True
        )
    assert done.stdout == b"True None\n"
