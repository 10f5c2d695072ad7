"""Messages between a worker and the process that started it."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from archbench.workers import channel as channels
from archbench.workers.channel import LARGEST, Channel, GarbledError, GoneError, SilentError
from archbench.workers.messages import Ask, Said


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Connection, Channel[Said]]]:
    monkeypatch.setattr(channels, "STALLED", 1.0)
    raw, ours = Pipe()
    yield raw, Channel(ours, Said)
    raw.close()
    ours.close()


def test_a_message_is_json(pair: tuple[Connection, Channel[Said]]) -> None:
    raw, channel = pair
    channel.send(Ask(do="run"))
    assert raw.recv_bytes() == b'{"do": "run"}'
    raw.send_bytes(b'{"begins": "a"}')
    raw.send_bytes(b'{"doing": "\xc3\xa4"}')
    assert [channel.receive(5), channel.receive(5)] == [Said(begins="a"), Said(doing="ä")]


def test_a_report_may_hold_anything(pair: tuple[Connection, Channel[Said]]) -> None:
    """Other plugins put what they like into reports; a tuple is a list in JSON."""
    raw, channel = pair
    channel.send(Said(report={"path": Path("a"), "number": np.float64(0.5), "pair": (1, None)}))
    assert raw.recv_bytes() == b'{"report": {"path": "a", "number": 0.5, "pair": [1, null]}}'


def test_a_large_message_gets_through() -> None:
    left, right = Pipe()
    sender, receiver = Channel(left, Said), Channel(right, Said)
    message = Said(doing="x" * 2**21)
    thread = threading.Thread(target=sender.send, args=(message,))
    thread.start()
    assert receiver.receive(10) == message
    thread.join()
    sender.close()
    receiver.close()


def test_silence_ends(pair: tuple[Connection, Channel[Said]]) -> None:
    with pytest.raises(SilentError, match=r"nothing was said for 0\.01 s"):
        pair[1].receive(0.01)


def test_half_a_message_keeps_nobody_waiting(pair: tuple[Connection, Channel[Said]]) -> None:
    raw, channel = pair
    os.write(raw.fileno(), struct.pack("!i", 100) + b"{")
    with pytest.raises(GarbledError):
        channel.receive(5)


def test_a_reader_that_does_not_read_keeps_nobody_waiting(
    pair: tuple[Connection, Channel[Said]],
) -> None:
    with pytest.raises(GoneError):
        pair[1].send(Ask(do="x" * 2**24))


def test_the_end_of_the_other_side_is_noticed(pair: tuple[Connection, Channel[Said]]) -> None:
    raw, channel = pair
    os.write(raw.fileno(), b"\x00\x00")
    raw.close()
    with pytest.raises(GoneError):
        channel.receive(5)
    with pytest.raises(GoneError):
        channel.send(Ask(do="end"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (struct.pack("!i", LARGEST + 1), "bad message length"),
        (b"\x00\x00\x00\x02{]", "no JSON"),
        (b"\x00\x00\x00\x01\xff", "no JSON"),
        (b"\x00\x00\x00\x02[]", "no message: Expected `object`, got `array`"),
        (b'\x00\x00\x00\x0b{"what": 1}\n', "no message: .*unknown field"),
        # What a program prints: its first four letters are a length.
        (b"Traceback (most recent call last)", "bad message length"),
    ],
)
def test_what_is_no_message_is_refused(
    data: bytes, message: str, pair: tuple[Connection, Channel[Said]]
) -> None:
    raw, channel = pair
    os.write(raw.fileno(), data)
    with pytest.raises(GarbledError, match=message):
        channel.receive(5)
