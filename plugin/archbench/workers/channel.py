"""What a worker and the process that started it say to each other.

A message is a JSON object; :mod:`multiprocessing.connection` frames it. It goes over a connection
of its own, so that whatever a test prints stays out of it. A worker begins with ``{"hello":
VERSION, ...}``; from then on it speaks when it is spoken to:

====================================  ==========================================================
the process that started it           the worker
====================================  ==========================================================
``{"do": "run", "test", ...}``        any number of ``report``, ``warning``, ``progress`` and
                                      ``begins``, then ``{"ended": {...}}``; a side of a paired
                                      comparison ``{"ready": {...}}`` where the test waits
``{"do": "burst", "side", ...}``      ``{"burst": {...}}``, or ``ended`` where it failed
``{"do": "modules", "side", ...}``    ``{"modules": {...}}``, or ``ended``
``{"do": "next"}``                    ``{"ended": {...}}``: the test ran to its end
``{"do": "end"}``                     nothing: it ends
====================================  ==========================================================
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from multiprocessing.connection import Connection
from typing import Any

VERSION = 2
"""Of the messages. Both ends are of one archbench, so there is no talking to another one."""

LARGEST = 256 * 2**20
"""Bytes of a message: more is no message of ours."""

STALLED = 60.0
"""Seconds that the rest of a message may take whose beginning is there."""


class ChannelError(Exception):
    """The other end does not do as agreed."""


class GoneError(ChannelError):
    """The other end has closed: the process has ended."""


class SilentError(ChannelError):
    """The other end has said nothing for too long."""


class GarbledError(ChannelError):
    """What the other end said is no message."""


class Channel:
    """One end of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        _limit(connection.fileno())

    def send(self, message: dict[str, Any]) -> None:
        """Send one message.

        Raises:
            GoneError: nobody is there to read it, or reads.
        """
        data = json.dumps(message, default=str).encode()
        if len(data) > LARGEST:
            raise ValueError(f"a message of {len(data)} bytes, at most {LARGEST}")
        try:
            self._connection.send_bytes(data)
        except OSError as error:
            raise GoneError(str(error)) from error

    def receive(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait for one message, ``timeout`` seconds at most; a worker waits while there is another
        end.

        Raises:
            GoneError: the other end has closed.
            SilentError: the message did not begin in time.
            GarbledError: what came is none.
        """
        try:
            if not self._connection.poll(timeout):
                raise SilentError(f"nothing was said for {timeout:g} s")
            data = self._connection.recv_bytes(LARGEST)
        except (EOFError, ConnectionError) as error:
            raise GoneError("the connection was closed") from error
        except OSError as error:
            if "end of file" in str(error):  # within a message; the library has no class for it
                raise GoneError("the connection was closed") from error
            raise GarbledError(f"no message: {error}") from error
        try:
            message = json.loads(data.decode())
        except ValueError as error:
            raise GarbledError(f"no JSON: {error}") from error
        if not isinstance(message, dict):
            raise GarbledError(f"a message is an object, got {type(message).__name__}")
        return message

    def close(self) -> None:
        """Close this end."""
        with contextlib.suppress(OSError):
            self._connection.close()


def _limit(descriptor: int) -> None:
    """Let no half message keep its reader waiting, nor a reader that does not read its writer."""
    if os.name != "posix":
        return
    seconds = struct.pack("ll", int(STALLED), 0)
    with socket.socket(fileno=os.dup(descriptor)) as other:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            other.setsockopt(socket.SOL_SOCKET, option, seconds)
