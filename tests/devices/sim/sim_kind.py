"""The simulated device as a kind of device of archbench: this file is all that a kind takes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch_sim  # type: ignore[import-not-found]

from archbench.core.errors import FatalDeviceError, chain_of, first_line
from archbench.devices.accelerator import Accelerator
from archbench.devices.registry import register


@register
class Sim(Accelerator):
    """``--gpu=sim``, ``--gpu=sim:1``, ``--gpu=simulator``."""

    kind = "sim"
    can_capture = True
    fatal_speakers = ("sim error",)
    fatal_words = ("device lost", "previous error during capture")

    def is_exclusive(self) -> bool:
        return "SIM_EXCLUSIVE" in os.environ

    def cache_bytes(self) -> int:
        return 2**16

    def capture(self, run: Callable[[], object]) -> tuple[Callable[[], object], object]:
        library, index = torch_sim.library, self.device.index
        library.begin_capture(index)
        try:
            try:
                output: Any = run()
            finally:
                seconds = library.end_capture(index)
        except RuntimeError as error:
            *_, first = chain_of(error)
            raise FatalDeviceError(first_line(first)) from error

        def replay() -> None:
            library.replay(index, seconds)
            library.begin_capture(index)  # the host computes, and the device has nothing to do
            output.copy_(run())
            library.end_capture(index)

        return replay, output
