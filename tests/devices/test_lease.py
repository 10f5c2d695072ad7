"""A device is one process's at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

from archbench.devices.lease import lease, lease_path

UUID = "GPU-8932f937/1 x"


def test_the_file_of_a_device() -> None:
    assert lease_path(UUID, Path("/x")) == Path("/x/GPU-8932f937-1-x.lock")


def hold(directory: Path, held: Any, let_go: Any) -> None:
    with lease(UUID, print, directory):
        held.set()
        let_go.wait(60)


def test_who_comes_second_waits_and_says_so(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, let_go = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, held, let_go))
    other.start()
    try:
        assert held.wait(60)
        said: list[str] = []

        def say(text: str) -> None:
            said.append(text)
            let_go.set()  # the other one goes only when it was told to

        with lease(UUID, say, tmp_path, patience=0.01):
            assert said == [f"waiting for {UUID}: another process measures on it"]
        with lease("another", say, tmp_path, patience=0.01):
            assert len(said) == 1
    finally:
        let_go.set()
        other.join()


def test_a_holder_that_dies_lets_go(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, let_go = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, held, let_go))
    other.start()
    assert held.wait(60)
    assert other.pid is not None
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    said: list[str] = []
    with lease(UUID, said.append, tmp_path, patience=5.0):
        assert not said
