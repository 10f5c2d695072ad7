"""Messages between the conductor and the sides."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from archbench.duet.protocol import LARGEST, Channel, GarbledError, GoneError, HungError


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Channel]]:
    raw, ours = socket.socketpair()
    yield raw, Channel(ours)
    raw.close()
    ours.close()


def test_a_message_is_json_behind_its_length(pair: tuple[socket.socket, Channel]) -> None:
    raw, channel = pair
    channel.send({"do": "run"})
    assert raw.recv(100) == b'\x00\x00\x00\x0d{"do": "run"}'


def test_messages_arrive_whole_and_apart(pair: tuple[socket.socket, Channel]) -> None:
    raw, channel = pair
    first, second = b'{"a": 1}', b'{"b": "\xc3\xa4"}'
    data = b"".join(struct.pack(">I", len(one)) + one for one in (first, second))

    def drip() -> None:
        for index in range(len(data)):
            raw.sendall(data[index : index + 1])

    thread = threading.Thread(target=drip)
    thread.start()
    assert [channel.receive(5), channel.receive(5)] == [{"a": 1}, {"b": "ä"}]
    thread.join()


def test_a_large_message_gets_through() -> None:
    left, right = socket.socketpair()
    sender, receiver = Channel(left), Channel(right)
    message = {"scores": "x" * 2**21}
    thread = threading.Thread(target=sender.send, args=(message,))
    thread.start()
    assert receiver.receive(10) == message
    thread.join()
    sender.close()
    receiver.close()


def test_silence_ends(pair: tuple[socket.socket, Channel]) -> None:
    raw, channel = pair
    with pytest.raises(HungError, match=r"nothing was said for 0\.01 s"):
        channel.receive(0.01)
    raw.sendall(b"\x00\x00\x00\x09{")
    with pytest.raises(HungError):
        channel.receive(0.01)


def test_the_end_of_the_other_side_is_noticed(pair: tuple[socket.socket, Channel]) -> None:
    raw, channel = pair
    raw.sendall(b"\x00\x00")
    raw.close()
    with pytest.raises(GoneError):
        channel.receive(5)
    with pytest.raises(GoneError):
        channel.send({"do": "end"})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (struct.pack(">I", LARGEST + 1), "a message of 67108865 bytes, at most 67108864"),
        (b"\x00\x00\x00\x02{]", "no JSON"),
        (b"\x00\x00\x00\x01\xff", "no JSON"),
        (b"\x00\x00\x00\x02[]", "a message is an object, got list"),
        # What a program prints: its first four letters are a length.
        (b"Traceback (most recent call last)", "a message of 1416782179 bytes"),
    ],
)
def test_what_is_no_message_is_refused(
    data: bytes, message: str, pair: tuple[socket.socket, Channel]
) -> None:
    raw, channel = pair
    raw.sendall(data)
    with pytest.raises(GarbledError, match=message):
        channel.receive(5)


def test_numbers_that_json_has_no_form_for_are_a_defect(
    pair: tuple[socket.socket, Channel],
) -> None:
    with pytest.raises(ValueError, match="JSON"):
        pair[1].send({"burst": float("nan")})
