"""The simulated device as a kind of device of archbench: this file is all that a kind takes."""

from __future__ import annotations

import os

import torch_sim  # type: ignore[import-not-found]  # noqa: F401

from archbench.devices.accelerator import Accelerator
from archbench.devices.registry import register


@register
class Sim(Accelerator):
    """``--gpu=sim``, ``--gpu=sim:1``, ``--gpu=simulator``."""

    kind = "sim"
    fatal_speakers = ("sim error",)
    fatal_words = ("device lost",)

    def is_exclusive(self) -> bool:
        return "SIM_EXCLUSIVE" in os.environ
