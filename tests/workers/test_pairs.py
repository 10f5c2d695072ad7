"""Processes that hold a side, and what is made of those that do not do as agreed."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import archbench
from archbench.core.rounds import Burst
from archbench.core.side_facts import SideFacts
from archbench.core.spec import Target
from archbench.workers import process
from archbench.workers.imports import Imports
from archbench.workers.orders import Order
from archbench.workers.pairs import CellFailedError, Holder, NoPairError, Pair
from archbench.workers.process import Patience, Worker

PEER = """
import json, os, signal, sys, time
from multiprocessing.connection import Connection
from archbench.workers.messages import VERSION

order = json.load(open(sys.argv[1]))
connection = Connection(order["connection"])

def send(message):
    connection.send_bytes(json.dumps(message).encode())

TARGET = {"device": "cpu", "device_name": "X", "slug": "x"}
READY = {"ready": {side: {"id": "timm/a", "target": TARGET} for side in order["sides"]}}
BURST = {"burst": {"wall": [0.01], "cpu": [0.01]}}
FAILURE = {"side": "", "status": "crashed", "reason": "RuntimeError", "sentence": "it broke",
           "details": "Traceback"}
ENDED = {"ended": {"failure": FAILURE}}
send({"hello": {"version": VERSION}})
while (message := json.loads(connection.recv_bytes()))["do"] != "end":
    do = message["do"]
    {body}
    send({"run": READY, "burst": BURST, "next": {"ended": {}}}[do])
"""

PATIENCE = Patience(start=30, ready=30, burst=30, end=5)
SHORT = Patience(start=30, ready=0.5, burst=0.5, end=0.5)

Start = Callable[..., Holder]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Holder] = []

    def start(
        body: str = "pass",
        sides: tuple[str, ...] = ("reference",),
        patience: Patience = PATIENCE,
        program: str = PEER,
    ) -> Holder:
        path = tmp_path / f"peer{len(started)}.py"
        path.write_text(program.replace("{body}", body), encoding="utf-8")
        package = str(Path(archbench.__file__).parents[1])
        worker = Worker.start(
            lambda order: [sys.executable, str(path), str(order)],
            {**os.environ, "PYTHONPATH": package},
            tmp_path,
            Order("side", (), {}, Imports(package), sides=sides),
            tmp_path / f"files{len(started)}",
            patience,
        )
        child = Holder(sides, worker)
        started.append(child)
        return child

    yield start
    for child in started:
        child.worker.kill()


def up(*children: Holder) -> Pair:
    for child in children:
        child.greet()
    return Pair(children, None, PATIENCE)


def test_a_pair_passes_time(start: Start) -> None:
    pair = up(start(), start(sides=("candidate",)))
    facts = pair.ready("test[a]", facts=True)
    same = SideFacts("timm/a", Target("cpu", "X", "x"))
    assert facts == {"reference": same, "candidate": same}
    assert pair.burst("candidate", 0.03) == Burst((0.01,), (0.01,))
    pair.leave()
    assert set(pair.ready("test[b]", facts=False)) == {"reference", "candidate"}
    assert not pair.is_broken
    pair.close()


def test_one_process_may_hold_both_sides(start: Start) -> None:
    pair = up(start(sides=("reference", "candidate")))
    assert set(pair.ready("test[a]", facts=True)) == {"reference", "candidate"}
    assert pair.burst("reference", 0.03) == pair.burst("candidate", 0.03)
    pair.close()


def test_a_process_that_cannot_be_interrupted_is_killed(start: Start) -> None:
    patience = replace(PATIENCE, interrupted=0.2)
    body = "signal.signal(signal.SIGINT, signal.SIG_IGN)"
    deaf = start(body, sides=("reference", "candidate"), patience=patience)
    up(deaf).ready("test[a]", facts=True)
    deaf.worker.interrupt()
    assert deaf.worker.gone
    assert deaf.worker._process.returncode == -signal.SIGKILL


def test_what_a_process_prints_stays_out_of_the_messages(start: Start) -> None:
    body = "print('x' * 300_000); os.write(1, bytes(range(256))); os.write(2, b'{}' * 9)"
    pair = up(start(body), start(sides=("candidate",)))
    pair.ready("test[a]", facts=True)
    assert pair.burst("reference", 0.03) == Burst((0.01,), (0.01,))
    pair.close()


def play(pair: Pair) -> None:
    pair.ready("test[a]", facts=True)
    pair.burst("reference", 0.03)


def failure(pair: Pair) -> tuple[str, str, str, str]:
    with pytest.raises(CellFailedError) as error:
        play(pair)
    (one,) = error.value.failures
    assert one.side == "reference"
    return one.status, one.reason, one.sentence, one.details


def test_a_process_that_hangs_is_ended(start: Start) -> None:
    child = start("print('before', flush=True); do == 'burst' and time.sleep(600)")
    child.greet()
    other = start(sides=("candidate",))
    other.greet()
    pair = Pair([child, other], None, SHORT)
    status, reason, sentence, details = failure(pair)
    assert (status, reason) == ("crashed", "hung")
    assert sentence == "its process hangs: nothing was said for 0.5 s"
    assert details.splitlines()[0] == "before"
    assert pair.is_broken
    assert child.worker._process.poll() is not None


def test_a_process_that_had_no_core_is_waited_for(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a second is over before it answers, but it was not running for 20 s of them."""
    child = start("do == 'burst' and time.sleep(2)")
    child.greet()
    other = start(sides=("candidate",))
    other.greet()
    waited = itertools.count(0.0, 20.0)
    monkeypatch.setattr(process, "waited_for_a_core", lambda pid: next(waited))
    play(Pair([child, other], None, SHORT))


def test_a_process_that_dies_of_a_signal_is_reported_with_what_it_printed(start: Start) -> None:
    body = (
        "import faulthandler; faulthandler.enable(); "
        "do == 'burst' and os.kill(os.getpid(), signal.SIGSEGV)"
    )
    status, reason, sentence, details = failure(up(start(body), start(sides=("candidate",))))
    assert (status, reason) == ("crashed", "process-died")
    assert sentence == "its process died of signal 11 (Segmentation fault)"
    assert "Fatal Python error: Segmentation fault" in details


def test_a_process_that_exits_is_reported_with_its_status(start: Start) -> None:
    status, reason, sentence, _ = failure(
        up(start("do == 'run' and os._exit(3)"), start(sides=("candidate",)))
    )
    assert (status, reason) == ("crashed", "process-died")
    assert sentence == "its process ended with status 3"


def test_a_process_that_the_kernel_kills_ran_out_of_memory(start: Start) -> None:
    body = "do == 'burst' and os.kill(os.getpid(), signal.SIGKILL)"
    status, reason, _, _ = failure(up(start(body), start(sides=("candidate",))))
    assert (status, reason) == ("out-of-memory", "killed")


@pytest.mark.parametrize(
    "body",
    [
        "do == 'burst' and os.write(order['connection'], b'Traceback (most recent call last)')",
        "do == 'burst' and send({'burst': {'wall': [], 'cpu': []}})",
        "do == 'burst' and send({'burst': {'wall': ['slow'], 'cpu': [1]}})",
        "do == 'burst' and send({'what': 1})",
        "do == 'burst' and send(READY)",
    ],
)
def test_a_process_that_does_not_speak_as_agreed_is_ended(body: str, start: Start) -> None:
    child = start(body)
    pair = up(child, start(sides=("candidate",)))
    status, reason, _, _ = failure(pair)
    assert (status, reason) == ("crashed", "protocol")
    assert pair.is_broken
    assert child.worker._process.poll() is not None


def test_a_test_that_ends_early_ends_its_cell_and_no_process(start: Start) -> None:
    body = "if do == 'run' and message['test'] == 'test[a]': send(ENDED); continue"
    pair = up(start(body), start(sides=("candidate",)))
    with pytest.raises(CellFailedError) as error:
        pair.ready("test[a]", facts=True)
    (one,) = error.value.failures
    assert (one.side, one.status, one.reason) == ("reference", "crashed", "RuntimeError")
    assert (one.sentence, one.details) == ("it broke", "Traceback")
    assert not pair.is_broken
    # The other side has left the test as well.
    assert set(pair.ready("test[b]", facts=True)) == {"reference", "candidate"}
    pair.close()


def test_a_process_that_lost_its_device_is_ended(start: Start) -> None:
    body = (
        "if do == 'run': send({'ended': {'failure': {**FAILURE, 'reason': "
        "'fatal-device-error'}}}); continue"
    )
    child, other = start(body), start(sides=("candidate",))
    pair = up(child, other)
    with pytest.raises(CellFailedError) as error:
        pair.ready("test[a]", facts=True)
    assert [one.reason for one in error.value.failures] == ["fatal-device-error"]
    assert pair.is_broken
    assert child.worker._process.poll() is not None
    assert other.worker._process.poll() is None


def test_both_sides_may_fail(start: Start) -> None:
    body = "if do == 'run': send(ENDED); continue"
    pair = up(start(body), start(body, sides=("candidate",)))
    with pytest.raises(CellFailedError) as error:
        pair.ready("test[a]", facts=True, order=("candidate", "reference"))
    assert [one.side for one in error.value.failures] == ["candidate", "reference"]


def test_a_process_that_does_not_come_up_says_why(start: Start) -> None:
    child = start(program="raise SystemExit('no such option')")
    with pytest.raises(NoPairError) as error:
        child.greet()
    assert error.value.sentence == "its process ended with status 1"
    assert error.value.output == "no such option"


def test_another_version_of_the_messages_is_refused(start: Start) -> None:
    child = start(program=PEER.replace("VERSION}})", "VERSION + 1}})"))
    with pytest.raises(NoPairError, match="it speaks version 4 of the protocol, this is 3"):
        child.greet()


def test_what_a_process_has_started_ends_with_it(start: Start, tmp_path: Path) -> None:
    body = (
        "import subprocess; do == 'run' and open('pid', 'w').write("
        "str(subprocess.Popen(['sleep', '600']).pid)); do == 'burst' and os._exit(1)"
    )
    failure(up(start(body), start(sides=("candidate",))))
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 30
    while not _has_ended(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _has_ended(pid: int) -> bool:
    """Gone, or waiting for someone to ask how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
