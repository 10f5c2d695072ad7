"""A runtime that archbench does not have: every pass runs twice."""

from __future__ import annotations

from archbench.core.run_config import RunConfig
from archbench.devices.backend import Backend
from archbench.devices.choosing import Device
from archbench.runtimes.registry import register
from archbench.runtimes.runtime import Job, Prepared, Refusal, Runtime


@register
class Twice(Runtime):
    """``--runtime=twice``; ids end in ``-twice``."""

    name = "twice"

    def refuse(self, device: Device, backend: Backend, config: RunConfig) -> Refusal | None:
        if config.dtype == "bf16":
            return Refusal("it cannot run bf16", "Use --dtype=fp32")
        return None

    def prepare(self, job: Job) -> Prepared:
        def start() -> object:
            job.module(*job.inputs)
            return job.module(*job.inputs)

        return Prepared(start, {"preparation": {"value": 2, "unit": "1", "source": "measured"}})
