"""What follows from other metrics, see :func:`archbench.core.rows.with_derived`."""

from __future__ import annotations

from archbench.metrics.metric import Family, Metric, register

register(
    Family(
        "speedup",
        (
            Metric(
                name="speedup",
                unit="1",
                title="speed-up",
                digits=3,
                better="higher",
                axis="speed-up over eager torch",
                tables=("list", "select"),
                place=45,
            ),
        ),
    )
)
register(
    Family(
        "density",
        tuple(
            Metric(
                name=name, unit="%", title=f"top-1 % per {per}", better="higher", of="weights",
                axis=f"top-1 % per {axis}",
            )
            for name, per, axis in (
                ("density", "M params", "million params"),
                ("top1_per_gmac", "GMAC", "GMAC"),
            )
        ),
    )
)  # fmt: skip
