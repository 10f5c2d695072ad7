"""A pass captured once as a CUDA graph, and replayed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archbench.core.errors import (
    FatalDeviceError,
    NotMeasuredError,
    first_line,
    is_out_of_memory,
)
from archbench.core.run_config import RunConfig
from archbench.devices.backend import Backend
from archbench.devices.choosing import Device
from archbench.runtimes.registry import register
from archbench.runtimes.runtime import Job, Prepared, Refusal, Runtime


@register
class CudaGraph(Runtime):
    """See :class:`Runtime`."""

    name = "cudagraph"
    allocates_ahead = True

    def refuse(self, device: Device, backend: Backend, config: RunConfig) -> Refusal | None:
        if backend.can_capture:
            return None
        return Refusal(f"{device} has no CUDA graphs", "Use --runtime=eager or --runtime=compiled")

    def prepare(self, job: Job) -> Prepared:
        try:
            replay, output = job.device.capture(lambda: job.module(*job.inputs))
        except (RuntimeError, FatalDeviceError) as error:
            if is_out_of_memory(error):
                raise
            raise NotMeasuredError(
                "not-capturable",
                f"{job.spec.id} cannot be captured as a CUDA graph: "
                f"{first_line(error)}. Use --runtime=eager",
            ) from error

        def start() -> object:
            replay()
            return output

        def run(inputs: Sequence[Any]) -> object:
            for place, given in zip(job.inputs, inputs, strict=True):
                place.copy_(given)
            return start()

        return Prepared(start, run=run)
