"""Intel's GPUs."""

from __future__ import annotations

from archbench.devices.accelerator import Accelerator
from archbench.devices.registry import register

__all__ = ["Xpu"]


@register
class Xpu(Accelerator):
    """See :class:`archbench.devices.backend.Backend`."""

    kind = "xpu"
    # SYCL's runtimes: "Native API returns: 20 (UR_RESULT_ERROR_DEVICE_LOST)".
    fatal_speakers = ("native api", "backend failed", "ur_result", "ze_result", "pi_error")
    fatal_words = ("device_lost",)

    @classmethod
    def spin(cls) -> None:
        """It is not held: that passes wait in its queue has been tried on NVIDIA's only."""
