"""Networks that misbehave in their forward pass, each in another way, and two good ones."""

# mypy: disable-error-code="func-returns-value"

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

SLEEPER = [sys.executable, "-IS", "-c", "import time; time.sleep(600)"]


class Net(nn.Module):
    """A small network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> Any:
        """Scores of images; on a device it does its harm before."""
        if not x.is_meta:
            self.harm()
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))

    def harm(self) -> None:
        """None."""


class Good(Net):
    pass


class AlsoGood(Net):
    pass


def _forked(seconds: float = 600.0, *, of_its_own: bool = False) -> None:
    if os.fork() == 0:
        if of_its_own:
            os.setsid()
            if os.fork():
                os._exit(0)
        time.sleep(seconds)
        os._exit(0)


def _deep(number: int) -> int:
    return _deep(number + 1) + 1


def _sockets() -> list[int]:
    found = []
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if "socket" in str(one.readlink()):
                found.append(int(one.name))
    return found


def _locked() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def _without_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)


def _loop() -> None:
    while True:
        pass


def _deaf_loop() -> None:
    _without_signals()
    _loop()


def _stubborn_thread() -> None:
    threading.Thread(target=time.sleep, args=(600,)).start()


def _garble() -> None:
    for descriptor in _sockets():
        os.write(descriptor, b"\x00\x00\x00\x05hello" * 3)


def _recurse() -> None:
    sys.setrecursionlimit(10**9)
    _deep(0)


def _forget_output() -> None:
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        setattr(sys, name, None)


def _break_json() -> None:
    json.dumps = None  # type: ignore[assignment]


def _rlimit(what: int, limit: int) -> None:
    resource.setrlimit(what, (limit, resource.getrlimit(what)[1]))


def _forks_and_goes_on() -> None:
    os.fork()


def _files_of_the_run() -> None:
    shutil.rmtree(Path(os.environ["PROJECT"]) / ".archbench" / "processes")


class EndError(BaseException):
    """No Exception."""


def _raise() -> None:
    raise EndError("it is over")


HARM = {
    # name: what it does, and whether it can be measured all the same
    "Exits": (lambda: sys.exit(0), False),
    "ExitsAtOnce": (lambda: os._exit(0), False),
    "ExitsFromC": (lambda: ctypes.CDLL(None)._exit(0), False),
    "Aborts": (os.abort, False),
    "Faults": (lambda: ctypes.string_at(0), False),
    "Recurses": (_recurse, False),
    "KillsItself": (lambda: os.kill(os.getpid(), signal.SIGKILL), False),
    "TerminatesItself": (lambda: os.kill(os.getpid(), signal.SIGTERM), False),
    "Alarmed": (lambda: (signal.alarm(1), time.sleep(5)), False),
    "KillsItsGroup": (lambda: os.killpg(0, signal.SIGKILL), False),
    "Stops": (lambda: os.kill(os.getpid(), signal.SIGSTOP), False),
    "Loops": (_loop, False),
    "LoopsDeaf": (_deaf_loop, False),
    "LoopsInC": (lambda: re.match(r"(a+)+$", "a" * 60 + "b"), False),
    "Sleeps": (lambda: time.sleep(600), False),
    "Locks": (_locked, False),
    "Raises": (_raise, False),
    "AllocatesAll": (lambda: bytearray(2**50), False),
    "UsesUpItsTime": (lambda: (_rlimit(resource.RLIMIT_CPU, 1), _loop()), False),
    "ClosesAll": (lambda: os.closerange(3, 4096), False),
    "Garbles": (_garble, False),
    "Forks": (_forked, True),
    "ForksAndDies": (lambda: (_forked(), os._exit(3)), False),
    "ForksAndGoesOn": (_forks_and_goes_on, True),
    "ForksADaemon": (lambda: _forked(of_its_own=True), True),
    "StartsAProgram": (lambda: subprocess.Popen(SLEEPER, start_new_session=True), True),
    "ClosesItsOutput": (lambda: (os.close(1), os.close(2)), True),
    "ForgetsItsOutput": (_forget_output, True),
    "Shouts": (lambda: os.write(1, b"::error::x\n" * 10000), True),
    "GoesElsewhere": (lambda: os.chdir("/"), True),
    "RemovesItsTemporaries": (
        lambda: shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True),
        True,
    ),
    "RemovesFilesOfTheRun": (_files_of_the_run, True),
    "ReplacesHandlers": (_without_signals, True),
    "LeaksThreads": (
        lambda: [threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
                 for _ in range(20)],
        True,
    ),
    "LeaksAThreadThatStays": (_stubborn_thread, True),
    "HangsAtItsEnd": (lambda: atexit.register(time.sleep, 600), True),
    "BreaksJson": (_break_json, False),
}  # fmt: skip
"""What each network does in its first pass on a device; whether figures of it are to be had."""


def _net(name: str) -> type[Net]:
    def harm(self: Net) -> None:
        harm, is_measured = HARM[name]
        if not (is_measured and vars(self).get("_done")):
            vars(self)["_done"] = True
            harm()

    return type(name, (Net,), {"harm": harm, "__module__": __name__})


globals().update({name: _net(name) for name in HARM})
