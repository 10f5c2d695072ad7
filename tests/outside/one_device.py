"""A kind of device that archbench does not have: two simulators whose tensors lie on the CPU."""

from __future__ import annotations

import time

from archbench.devices.backend import Backend, DeviceClock
from archbench.devices.choosing import Device
from archbench.devices.registry import register


class Moment:
    """A moment of the simulator's clock, which goes a hundred times as fast as the host's."""

    def __init__(self) -> None:
        self.at = 100 * time.perf_counter()

    def is_reached(self) -> bool:
        return True

    def seconds_since(self, earlier: Moment) -> float:
        return self.at - earlier.at


class Clock:
    """Nothing runs behind the host here."""

    can_hold = False

    def stamp(self) -> Moment:
        return Moment()

    def hold(self, seconds: float) -> None: ...

    def synchronize(self) -> None: ...


@register
class Simulator(Backend):
    """``--gpu=sim``, ``--gpu=sim:1``, ``--gpu='simulator 1'``."""

    kind = "sim"
    place = "cpu"
    fatal_speakers = ("simulator error",)
    fatal_words = ("unplugged",)

    @classmethod
    def found(cls) -> list[Device]:
        return [Device(f"sim:{number}", f"Simulator {number}") for number in range(2)]

    def clock(self) -> DeviceClock:
        return Clock()
