"""A device is one process's at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

from archbench.devices.lease import lease, lease_path

UUID = "GPU-8932f937/1 x"


def test_the_file_of_a_device() -> None:
    assert lease_path(UUID, Path("/x")) == Path("/x/GPU-8932f937-1-x.lock")


def test_a_process_may_take_a_device_that_it_has(tmp_path: Path) -> None:
    said: list[str] = []
    with lease(UUID, said.append, tmp_path, patience=0.01):
        with lease(UUID, said.append, tmp_path, patience=0.01):
            pass
        lock = FileLock(lease_path(UUID, tmp_path))
        with pytest.raises(Timeout):  # it is held until the outer one ends
            lock.acquire(timeout=0.01)
    with FileLock(lease_path(UUID, tmp_path), timeout=1):
        pass
    assert not said


@pytest.mark.skipif(os.name != "posix", reason="permissions as Unix has them")
def test_the_file_of_a_device_is_one_for_all_users(tmp_path: Path) -> None:
    assert lease_path(UUID).parts[:3] == ("/", "tmp", "archbench-devices")
    directory = tmp_path / "locks"
    before = os.umask(0o077)
    try:
        with lease(UUID, print, directory):
            assert stat.S_IMODE(directory.stat().st_mode) == 0o1777
            assert stat.S_IMODE(lease_path(UUID, directory).stat().st_mode) == 0o666
    finally:
        os.umask(before)


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
