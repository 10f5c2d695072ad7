"""What follows from other metrics, see :func:`archbench.core.points.with_derived`."""

from __future__ import annotations

from archbench.metrics.metric import Family, Metric, register

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
