"""Timing has the cores to itself among the workers of a run."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from archbench.devices.cores import Cores

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it has no such locks")


def can_be_had(path: Path, how: int) -> bool:
    """Whether another worker could take it now."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def test_who_shares_lets_others_share_and_nobody_time(tmp_path: Path) -> None:
    path = tmp_path / "cores.lock"
    cores = Cores(path)
    with cores.shared():
        assert can_be_had(path, fcntl.LOCK_SH)
        assert not can_be_had(path, fcntl.LOCK_EX)
        with cores.alone():
            assert not can_be_had(path, fcntl.LOCK_SH)
        assert can_be_had(path, fcntl.LOCK_SH)
        assert not can_be_had(path, fcntl.LOCK_EX)
        with cores.shared():
            pass
        assert not can_be_had(path, fcntl.LOCK_EX)
    assert can_be_had(path, fcntl.LOCK_EX)
    with pytest.raises(ValueError, match="x"), cores.alone():
        raise ValueError("x")
    assert can_be_had(path, fcntl.LOCK_EX)
    cores.close()


def test_it_ends_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "cores.lock"
    text = (
        "import sys; from pathlib import Path; from archbench.devices.cores import Cores\n"
        "with Cores(Path(sys.argv[1])).alone(): print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", text, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert not can_be_had(path, fcntl.LOCK_SH)
        holder.kill()
        holder.wait()
        assert can_be_had(path, fcntl.LOCK_EX)
