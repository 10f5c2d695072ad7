"""What the two sides of a duet and the process that conducts them say to each other.

A message is a JSON object in UTF-8 behind its length, four bytes, the most significant one first.
It goes over a socket of its own, so that whatever a side prints stays out of it. A side begins
with ``{"hello": VERSION, ...}``; from then on it speaks when it is spoken to, once each time:

====================================  ==========================================================
the conductor                         the side
====================================  ==========================================================
``{"do": "run", "cell", "facts"}``    ``{"ready": {...}}`` when the test waits for its bursts, or
                                      ``{"ended": {...}}`` where it ended before
``{"do": "burst", "side", ...}``      ``{"burst": {...}}``, or ``ended`` where it failed
``{"do": "modules", "side", ...}``    ``{"modules": {...}}``, or ``ended``
``{"do": "next"}``                    ``{"ended": {...}}``: the test ran to its end
``{"do": "end"}``                     nothing: it ends
====================================  ==========================================================
"""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

__all__ = [
    "LARGEST",
    "VERSION",
    "Channel",
    "GarbledError",
    "GoneError",
    "HungError",
    "ProtocolError",
]

VERSION = 1
"""Of the messages. Both ends are of one archbench, so there is no talking to another one."""

LARGEST = 64 * 2**20
"""Bytes of a message: more is no message of ours."""

_LENGTH = struct.Struct(">I")


class ProtocolError(Exception):
    """The other end does not do as agreed."""


class GoneError(ProtocolError):
    """The other end has closed: the process has ended."""


class HungError(ProtocolError):
    """The other end has said nothing for too long."""


class GarbledError(ProtocolError):
    """What the other end said is no message."""


class Channel:
    """One end of a connection.

    Args:
        connection: a connected stream socket; the channel closes it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def send(self, message: dict[str, Any], timeout: float | None = None) -> None:
        """Send one message.

        Raises:
            GoneError: nobody is there to read it.
            HungError: nobody reads it within ``timeout`` seconds.
        """
        data = json.dumps(message, allow_nan=False).encode()
        if len(data) > LARGEST:
            raise ValueError(f"a message of {len(data)} bytes, at most {LARGEST}")
        self._socket.settimeout(timeout)
        try:
            self._socket.sendall(_LENGTH.pack(len(data)) + data)
        except TimeoutError as error:
            raise HungError(f"nothing was read for {timeout:g} s") from error
        except OSError as error:
            raise GoneError(str(error)) from error

    def receive(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait for one message, ``timeout`` seconds at most.

        Raises:
            GoneError: the other end has closed.
            HungError: the message did not come in time.
            GarbledError: what came is none.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size, deadline, timeout))
        if length > LARGEST:
            raise GarbledError(f"a message of {length} bytes, at most {LARGEST}")
        data = self._exactly(length, deadline, timeout)
        try:
            message = json.loads(data.decode())
        except ValueError as error:
            raise GarbledError(f"no JSON: {error}") from error
        if not isinstance(message, dict):
            raise GarbledError(f"a message is an object, got {type(message).__name__}")
        return message

    def _exactly(self, number: int, deadline: float | None, timeout: float | None) -> bytes:
        parts: list[bytes] = []
        while number:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise HungError(f"nothing was said for {timeout:g} s")
            self._socket.settimeout(left)
            try:
                part = self._socket.recv(min(number, 1 << 20))
            except TimeoutError as error:
                raise HungError(f"nothing was said for {timeout:g} s") from error
            except OSError as error:
                raise GoneError(str(error)) from error
            if not part:
                raise GoneError("the connection was closed")
            parts.append(part)
            number -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
