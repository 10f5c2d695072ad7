"""One end of the connection between a worker and the process that started it.

:mod:`multiprocessing.connection` frames the messages, which are those of
:mod:`archbench.workers.messages`. They go over a connection of their own, so that whatever a test
prints stays out of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

from msgspec import ValidationError, convert, to_builtins

from archbench.core.forms import builtin
from archbench.workers.messages import Ask, Said

_Heard = TypeVar("_Heard", bound="Ask | Said")

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


class Channel(Generic[_Heard]):
    """One end of a connection.

    Args:
        kind: of what the other end says.
    """

    def __init__(self, connection: Connection, kind: type[_Heard]) -> None:
        self._connection = connection
        self._kind = kind
        self._process = os.getpid()
        _limit(connection.fileno())

    def send(self, message: Ask | Said) -> None:
        """Send one message.

        Raises:
            GoneError: nobody is there to read it, or reads.
        """
        self._end_a_copy()
        data = json.dumps(to_builtins(message, enc_hook=_plain)).encode()
        if len(data) > LARGEST:
            raise ValueError(f"a message of {len(data)} bytes, at most {LARGEST}")
        try:
            self._connection.send_bytes(data)
        except OSError as error:
            raise GoneError(str(error)) from error

    def receive(self, timeout: float | None = None) -> _Heard:
        """Wait for one message, ``timeout`` seconds at most; a worker waits while there is another
        end.

        Raises:
            GoneError: the other end has closed.
            SilentError: the message did not begin in time.
            GarbledError: what came is none.
        """
        self._end_a_copy()
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
        try:
            return convert(message, self._kind)
        except ValidationError as error:
            raise GarbledError(f"no message: {error}") from error

    def _end_a_copy(self) -> None:
        """End a process that a network has forked and that goes on as if it were the worker: two
        would speak at once."""
        if os.getpid() != self._process:
            os._exit(0)

    def close(self) -> None:
        """Close this end."""
        with contextlib.suppress(OSError):
            self._connection.close()


def _plain(value: object) -> object:
    """What pytest or another plugin has put into a report may be of any type."""
    try:
        return builtin(value)
    except TypeError:
        return str(value)


def _limit(descriptor: int) -> None:
    """Let no half message keep its reader waiting, nor a reader that does not read its writer."""
    if os.name != "posix":
        return
    seconds = struct.pack("ll", int(STALLED), 0)
    with socket.socket(fileno=os.dup(descriptor)) as other:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            other.setsockopt(socket.SOL_SOCKET, option, seconds)
