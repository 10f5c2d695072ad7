"""Intel's GPUs."""

from __future__ import annotations

import torch

from archbench.devices.accelerator import Accelerator
from archbench.devices.registry import register


@register
class Xpu(Accelerator):
    """See :class:`archbench.devices.backend.Backend`."""

    kind = "xpu"
    trouble_remedy = "Look at what `sycl-ls` and `xpu-smi discovery` say"
    # SYCL's runtimes: "Native API returns: 20 (UR_RESULT_ERROR_DEVICE_LOST)".
    fatal_speakers = ("native api", "backend failed", "ur_result", "ze_result", "pi_error")
    fatal_words = ("device_lost",)

    @classmethod
    def absence(cls) -> str | None:
        """Where torch is built for them: why there is none."""
        if getattr(torch.version, "xpu", None) is None:
            return None
        return (
            f"torch {torch.__version__} is built for Intel's GPUs and sees none: its driver "
            "(intel-level-zero-gpu) is not installed, or this user may not open /dev/dri"
        )
