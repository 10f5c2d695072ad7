"""What a time depends on beside the network."""

from __future__ import annotations

import platform

import psutil

from archbench.core.spec import Target
from archbench.devices.choosing import cpu_model
from archbench.devices.kinds import backend_of
from archbench.measure.environment import base_version, provenance
from archbench.measure.reference_workload import workload_name
from archbench.runtimes.own import runtime_named


def timing_environment(target: Target, library: str) -> dict[str, str | int | None]:
    """What a time was measured with: hardware first, then software.

    Args:
        target: that it was measured on.
        library: that the architecture comes from.
    """
    is_alone = target.is_host and target.threads == 1
    versions = backend_of(target.device, target.uuid).versions()
    return {
        "device_name": target.device_name,
        # What was found to fit may differ from run to run.
        **({"batch_size": target.batch_size} if target.largest_batch else {}),
        "processor": cpu_model(),
        "machine": platform.machine(),
        "logical_cores": psutil.cpu_count(),
        "clock": "cpu" if is_alone else "wall",
        "reference_workload": workload_name() if is_alone else None,
        "torch": base_version("torch"),
        "library": provenance(library),
        **{name: versions.get(name) for name in ("driver", "cuda", "cudnn")},
        **runtime_named(target.runtime).versions(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }
