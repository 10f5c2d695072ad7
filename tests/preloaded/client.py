"""Stands for the interpreter: has a fork of the template do what it was started for.

Written as a file that the system runs with ``python -I -S``, with the paths of the socket and of
the interpreter put in by :func:`tests.preloaded.start`.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import signal
import socket
import sys

TEMPLATE = "SOCKET"
PYTHON = "INTERPRETER"
VARIABLES = dict(os.environ)


def asked_for(words: list[str]) -> tuple[set[str], str, str, list[str], str] | None:
    """What the command line says; None where it says what a fork cannot do."""
    options: set[str] = set()
    for place, word in enumerate(words):
        if word.startswith(("-c", "-m")) and len(word) > 2:
            return asked_for([*words[:place], word[:2], word[2:], *words[place + 1 :]])
        if word in ("-u", "-B"):
            options.add(word)
        elif word in ("-c", "-m") and place + 1 < len(words):
            kind, what, rest = word, words[place + 1], words[place + 2 :]
            first = "" if kind == "-c" else os.getcwd()
            return options, kind, what, [kind, *rest], first
        elif not word.startswith("-"):
            return options, "", word, words[place:], os.path.dirname(os.path.realpath(word))
        else:
            return None
    return None


def request() -> dict[str, object] | None:
    """What the template is sent; None where this is for an interpreter of its own."""
    asked = asked_for(sys.argv[1:])
    if asked is None or not os.path.exists(TEMPLATE):
        return None
    options, kind, what, arguments, first = asked
    numbers = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.get_inheritable(int(name)):
                numbers.append(int(name))
    umask = os.umask(0)
    os.umask(umask)
    return {
        "kind": kind,
        "what": what,
        "arguments": arguments,
        "first": first,
        "words": sys.argv[1:],
        "executable": sys.argv[0],
        "unbuffered": "-u" in options,
        "no_bytecode": "-B" in options,
        "variables": VARIABLES,
        "directory": os.getcwd(),
        "cores": sorted(os.sched_getaffinity(0)),
        "umask": umask,
        "parent": os.getppid(),
        "numbers": numbers,
    }


def be_a_fork(asked: dict[str, object]) -> None:
    """Have a fork do it, and end as that ends; returns where the template cannot."""
    # Whatever arrives until the fork has a number is for the fork.
    kept = (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGSEGV)
    forwarded = signal.valid_signals() - set(kept)
    signal.pthread_sigmask(signal.SIG_BLOCK, forwarded)
    with socket.socket(socket.AF_UNIX) as template:
        try:
            template.connect(TEMPLATE)
        except OSError:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, forwarded)
            return
        data = json.dumps(asked).encode()
        whole = array.array("Q", [len(data)]).tobytes() + data
        numbers = asked["numbers"]
        assert isinstance(numbers, list)
        sent = socket.send_fds(template, [whole], numbers)
        if sent < len(whole):
            template.sendall(whole[sent:])
        fork = json.loads(template.recv(4096))["process"]
        if fork is not None:
            for one in forwarded:
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(one, lambda number, _: forward(fork, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, forwarded)
        if fork is not None:
            end_like(json.loads(template.recv(4096) or b'{"status": 9}')["status"])


def forward(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def end_like(status: int) -> None:
    """As a process ended of which the system says this status."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    wanted = request()
    if wanted is not None:
        be_a_fork(wanted)
    os.execve(PYTHON, [PYTHON, *sys.argv[1:]], VARIABLES)
