"""A Python that has imported torch, which forks itself for each process that the tests start.

``template.py SOCKET [MODULE...]`` imports what takes a second or two, then listens. :mod:`client`
sends what it was started with; the fork takes that process's arguments, variables, directory and
files for its own, runs them as ``python`` does, and the client ends as the fork ended. What a fork
cannot take over, such as another ``OMP_NUM_THREADS``, the client runs in an interpreter of its own.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch  # noqa: F401

_READ_AT_START = (
    "PYTHON", "LD_", "LC_", "LANG", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "ATEN_", "TORCH",
    "PYTORCH", "CUDA", "NVIDIA", "ROCR", "HIP_", "ZE_",
)  # fmt: skip
"""How variables begin that an interpreter or a library reads when it starts."""

_NOT_READ = (
    "PYTHONPATH", "PYTHONBREAKPOINT", "TORCHINDUCTOR_VEC_ISA_OK", "TORCHINDUCTOR_CACHE_DIR",
)  # fmt: skip
"""But for those that a fork takes over, or can do without."""

_OWN = os.environ.get("PYTHONPATH", "").split(os.pathsep)
"""Of the path of this process, which is none of a fork's."""

_OURS = frozenset(sys.path)
"""Where all that is imported here has been found."""

_ONE_THREAD = "OPENBLAS_NUM_THREADS"
"""One here, as processes that measure times ask for; those that ask for nothing do with one too."""


class _Forked(Exception):
    """This process is a fork, and is to become what was asked for."""

    def __init__(self, asked: dict[str, Any], descriptors: list[int]) -> None:
        super().__init__()
        self.asked = asked
        self.descriptors = descriptors


def _serve(path: str) -> None:
    """Fork for each client until the process that started this one has ended.

    Raises:
        _Forked: in each fork.
    """
    ended, ends = os.pipe()
    os.set_blocking(ends, False)
    signal.set_wakeup_fd(ends, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, socket.socket] = {}
    with socket.socket(socket.AF_UNIX) as listening, selectors.DefaultSelector() as selector:
        listening.bind(path)
        listening.listen(64)
        gc.freeze()
        selector.register(listening, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            for key, _ in selector.select():
                if key.fd == 0:
                    for one in children:
                        _kill(one)
                    return
                if key.fd == ended:
                    os.read(ended, 4096)
                elif key.fileobj is listening:
                    connection, _ = listening.accept()
                    process = _fork(connection, [listening, *children.values()], selector)
                    if process is not None:
                        children[process] = connection
                        selector.register(connection, selectors.EVENT_READ, process)
                elif key.data in children:
                    # Whoever waited has been killed.
                    _kill(key.data)
                    selector.unregister(key.fileobj)
            for one, status in _ended():
                if one not in children:
                    continue  # nobody waited for it any more
                connection = children.pop(one)
                with contextlib.suppress(KeyError, ValueError):
                    selector.unregister(connection)
                with connection, contextlib.suppress(OSError):
                    connection.sendall(json.dumps({"status": status}).encode())


def _ended() -> list[tuple[int, int]]:
    found = []
    with contextlib.suppress(ChildProcessError):
        while (one := os.waitpid(-1, os.WNOHANG))[0]:
            found.append(one)
    return found


def _kill(process: int) -> None:
    for kill in (os.killpg, os.kill):  # it may have no group of its own yet
        with contextlib.suppress(ProcessLookupError):
            kill(process, signal.SIGKILL)


def _fork(
    connection: socket.socket, ours: list[socket.socket], selector: selectors.BaseSelector
) -> int | None:
    """The number of the fork; None where there is none: the client does without one, or has been
    killed before it had asked."""
    asked, descriptors = _asked(connection)
    process = os.fork() if asked is not None and _can(asked) else None
    if process == 0:
        selector.close()
        for one in (*ours, connection):
            one.close()
        assert asked is not None
        raise _Forked(asked, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    try:
        connection.sendall(json.dumps({"process": process}).encode())
    except OSError:  # it has been killed
        if process is not None:
            _kill(process)
        process = None
    if process is None:
        connection.close()
    return process


def _asked(connection: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """What a client asks for, and its files; None where it has gone."""
    data, descriptors = b"", []
    while len(data) < 8 or len(data) < 8 + array.array("Q", data[:8])[0]:
        more = b""
        with contextlib.suppress(OSError):
            more, received, _, _ = socket.recv_fds(connection, 1 << 20, 250)
            descriptors += received
        if not more:
            return None, descriptors
        data += more
    return json.loads(data[8:]), descriptors


def _can(asked: dict[str, Any]) -> bool:
    """Whether a fork is what an interpreter of its own would be."""
    variables = asked["variables"]
    for name in {*variables, *os.environ}:
        read_at_start = name.startswith(_READ_AT_START) and name not in _NOT_READ
        wanted = variables.get(name, "1" if name == _ONE_THREAD else None)
        if read_at_start and wanted != os.environ.get(name):
            return False
    # A file there may be meant where something of the same name is imported already.
    found = (name.partition(".")[0] for name, place in _found(asked) if _is_another(name, place))
    return {*found} <= {"archbench"}


def _found(asked: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Files where modules are looked for first, now or by what runs, and the place of each."""
    places = {asked["directory"], asked["first"] or asked["directory"], *_path(asked)}
    for place in places - _OURS:
        with contextlib.suppress(OSError):
            for name in os.listdir(place):
                yield name, place


def _forget_archbench(asked: dict[str, Any]) -> None:
    """Where there is another one, or a distribution, whose metrics are found by the import."""
    for name, place in _found(asked):
        other = name == "archbench" and _is_another(name, place)
        if not other and not _brings_more(os.path.join(place, name)):
            continue
        for name in [one for one in sys.modules if one.partition(".")[0] == "archbench"]:
            del sys.modules[name]


def _brings_more(path: str) -> bool:
    """Whether the files of a distribution are there that names something of archbench's."""
    with contextlib.suppress(OSError):
        return "[archbench." in Path(path, "entry_points.txt").read_text(encoding="utf-8")
    return False


def _is_another(file_name: str, place: str) -> bool:
    """Whether a file is that of a module that is imported already, and from another place."""
    name, _, suffix = file_name.partition(".")
    if name not in sys.modules or (suffix not in ("", "py") and not suffix.endswith("so")):
        return False
    path = os.path.join(place, name)
    if not suffix and not os.path.exists(os.path.join(path, "__init__.py")):
        return False
    return not (getattr(sys.modules[name], "__file__", None) or "").startswith(path)


def _path(asked: dict[str, Any]) -> list[str]:
    given = asked["variables"].get("PYTHONPATH", "")
    return [os.path.join(asked["directory"], one) for one in given.split(os.pathsep) if given]


def _become(asked: dict[str, Any], descriptors: list[int]) -> None:
    """Take over what the client was started with."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Out of the way of the numbers that they are to have.
    high = [os.dup2(one, 500 + place) for place, one in enumerate(descriptors)]
    os.closerange(0, 500)
    for source, number in zip(high, asked["numbers"], strict=True):
        os.dup2(source, number)
        os.close(source)
    os.chdir(asked["directory"])
    os.umask(asked["umask"])
    os.getppid = lambda: asked["parent"]
    os.sched_setaffinity(0, asked["cores"])
    os.environ.clear()
    os.environ.update(asked["variables"])
    streams = (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w"))
    for name, number, mode in streams:
        _open_stream(name, number, mode, asked["unbuffered"])
    sys.path[:] = [*_path(asked), *(one for one in sys.path[1:] if one not in _OWN)]
    if any(os.path.exists(os.path.join(one, "sitecustomize.py")) for one in _path(asked)):
        importlib.import_module("sitecustomize")
    sys.path.insert(0, asked["first"])
    _forget_archbench(asked)
    if "xdist.plugin" in sys.modules:  # hands this on to its workers as of the start
        sys.modules["xdist.plugin"]._sys_path[:] = sys.path
    sys.argv[:] = asked["arguments"]
    sys.orig_argv[:] = [asked["executable"], *asked["words"]]
    sys.executable = asked["executable"]
    sys.dont_write_bytecode |= asked["no_bytecode"]


def _open_stream(name: str, number: int, mode: str, unbuffered: bool) -> None:
    """As an interpreter opens it."""
    old = getattr(sys, f"__{name}__")
    try:
        raw = io.FileIO(number, mode, closefd=False)
    except OSError:
        stream = None
    else:
        unbuffered = unbuffered or bool(getattr(sys.__stderr__, "write_through", False))
        buffered: Any = raw
        if mode == "r":
            buffered = io.BufferedReader(raw)
        elif not unbuffered:
            buffered = io.BufferedWriter(raw)
        stream = io.TextIOWrapper(
            buffered, old.encoding, old.errors, line_buffering=name == "stderr" or raw.isatty(),
            write_through=mode == "w" and unbuffered,
        )  # fmt: skip
        stream.mode = mode  # type: ignore[misc]
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


def _run(kind: str, what: str) -> None:
    """As ``python -c``, ``python -m`` and ``python FILE``."""
    if kind == "-m":
        runpy._run_module_as_main(what)  # type: ignore[attr-defined]
        return
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__dict__["__builtins__"] = __builtins__
    if kind == "-c":
        exec(compile(what, "<string>", "exec"), main.__dict__)
        return
    main.__file__ = what
    exec(compile(Path(what).read_bytes(), what, "exec"), main.__dict__)


def _status_of(kind: str, what: str) -> int:
    try:
        _run(kind, what)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        print(error.code, file=sys.stderr)
        return 1
    except BaseException as error:
        # The frames of this file are none of what was asked for.
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _end(status: int) -> None:
    """As an interpreter ends, but for taking all modules apart, which takes half a second."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


class _Loading:
    """A plugin of a run that imports modules and ends."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self) -> int:
        for name in sys.argv[2:]:
            importlib.import_module(name)
        return 0


def _load() -> None:
    """Import the modules as runs of tests do: pytest rewrites the assertions of its plugins."""
    plugins = ("archbench.pytest_plugin", "no:hypothesispytest", "no:anyio")
    words = [word for plugin in plugins for word in ("-p", plugin)]
    pytest.main([*words, "--noconftest", "-c", os.devnull], [_Loading()])


if __name__ == "__main__":
    variables = dict(os.environ)
    _load()
    os.environ.clear()
    os.environ.update(variables)  # libraries set some
    try:
        _serve(sys.argv[1])
    except _Forked as forked:
        request = forked
    else:
        os._exit(0)
    _become(request.asked, request.descriptors)
    _end(_status_of(request.asked["kind"], request.asked["what"]))
