"""Memory that a forward pass takes, in a pass of its own.

The framework's peak of allocated bytes repeats to the last bit from run to run, so ``strict``
tolerates nothing there.
"""

from __future__ import annotations

from archbench.metrics.metric import Family, Metric, Tolerance, register

register(
    Family(
        "memory",
        (
            Metric(
                name="peak_memory", unit="B", title="peak memory MB", scale=1e-6,
                check="tolerance", error=0.01, kind="a size", example="absolute = '16 MiB'",
                presets={
                    "strict": Tolerance(0.0, absolute=0.0),
                    "default": Tolerance(0.01, absolute=float(2**20)),
                    "lenient": Tolerance(0.05, absolute=float(16 * 2**20)),
                },
                option="memory", option_help="peak: 1GB", label="Peak memory",
                axis="peak memory (MB)", tables=("run", "list", "select"), place=60,
            ),
            Metric(
                name="reserved_memory", unit="B", title="reserved memory MB", scale=1e-6,
                error=0.01, tables=("list",), place=61,
            ),
            Metric(
                name="device_memory", unit="B", title="device memory MB", scale=1e-6,
                error=0.01, tables=("list",), place=62,
            ),
        ),
        measure="archbench.measure.cells:memory_of",
        is_usual=True,
    )
)  # fmt: skip
