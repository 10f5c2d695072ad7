"""What a process takes that has nothing but an engine and a network."""

from __future__ import annotations

from archbench.metrics.metric import Family, Metric, Tolerance, register

register(
    Family(
        "deployed",
        (
            Metric(
                name="process_memory",
                unit="B",
                title="process memory MB",
                scale=1e-6,
                check="tolerance",
                error=0.02,
                kind="a size",
                example="absolute = '16 MiB'",
                presets={
                    "strict": Tolerance(0.02, absolute=float(4 * 2**20)),
                    "default": Tolerance(0.05, absolute=float(16 * 2**20)),
                    "lenient": Tolerance(0.10, absolute=float(64 * 2**20)),
                },
                option="process-memory",
                option_help="of a process with the engine alone: 200MB",
                axis="memory of a process with the engine alone (MB)",
                tables=("list",),
                place=63,
            ),
            Metric(
                name="cold_load_time",
                unit="s",
                title="cold load ms",
                scale=1e3,
                error=0.1,
                tables=("list",),
                place=95,
            ),
            Metric(
                name="engine_nodes", unit="1", title="engine nodes", digits=9, tables=("list",),
                place=97,
            ),
            Metric(
                name="fallback_nodes", unit="1", title="fallback nodes", digits=9,
                tables=("list",), place=98,
            ),
            Metric(
                name="artefact_size",
                unit="B",
                title="artefact MB",
                scale=1e-6,
                check="tolerance",
                kind="a size",
                example="absolute = '1 MB'",
                presets={
                    "strict": Tolerance(0.0, absolute=0.0),
                    "default": Tolerance(0.01, absolute=1e4),
                    "lenient": Tolerance(0.05, absolute=1e6),
                },
                option="artefact-size",
                option_help="of the files that an engine reads: 50MB",
                axis="artefact (MB)",
                tables=("list",),
                place=64,
            ),
        ),
        measure="archbench.measure.deployed:deployed_of",
        is_usual=True,
    )
)  # fmt: skip
