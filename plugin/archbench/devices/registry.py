"""The kinds of devices. Needs no torch: kinds are registered by the files that define them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from archbench.core.errors import FatalDeviceError, chain_of, text_of

if TYPE_CHECKING:
    from archbench.devices.backend import Backend

GROUP = "archbench.devices"
"""Entry points of distributions that bring a kind; each names its module or class."""

_KINDS: dict[str, type[Backend]] = {}

_Kind = TypeVar("_Kind", bound="type[Backend]")


def register(kind: _Kind) -> _Kind:
    """Make a kind of device known; a decorator of its class.

    ``--gpu=auto`` prefers archbench's own, then those that were registered first.

    Raises:
        ValueError: its name cannot stand before the number of a device.
    """
    name = kind.kind
    if not (name.isascii() and name.isalnum() and name.islower()):
        raise ValueError(f"{name!r} is no kind of device: lower-case letters and digits only")
    _KINDS[name] = kind
    return kind


def kinds() -> list[type[Backend]]:
    """All that are registered, accelerators first, the host at the end."""
    return sorted(_KINDS.values(), key=lambda kind: (kind.is_host, not _is_own(kind)))


def _is_own(kind: type[Backend]) -> bool:
    return kind.__module__.startswith("archbench.devices.")


def backend_of(name: str, uuid: str | None = None) -> Backend:
    """A device by torch's name for it: ``cuda:1``.

    Raises:
        LookupError: no kind of this name is registered.
    """
    kind = _KINDS.get(name.partition(":")[0])
    if kind is None:
        raise LookupError(f"no kind of device is registered for {name}")
    return kind(name, uuid)


def is_fatal(error: BaseException) -> bool:
    """Whether an exception, or what it was raised from, says that a device's context is gone, so
    that this process can use the device no more."""
    for seen in chain_of(error):
        if isinstance(seen, FatalDeviceError):
            return True
        text = text_of(seen).lower()
        for kind in _KINDS.values():
            speaks = any(speaker in text for speaker in kind.fatal_speakers)
            if speaks and any(words in text for words in kind.fatal_words):
                return True
    return False
