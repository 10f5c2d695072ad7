"""What a runtime returns, beside eager torch in fp32; gated by core/agreement.py."""

from __future__ import annotations

from archbench.metrics.metric import Family, Metric, register

register(
    Family(
        "output",
        (
            Metric(
                name="output_difference", unit="1", title="output difference", digits=2,
                tables=("list",), place=80,
            ),
            Metric(
                name="output_absolute_difference", unit="1", title="output difference of scores",
                digits=2,
            ),
            Metric(
                name="top1_agreement", unit="%", title="top-1 agreement %", better="higher",
                tables=("list",), place=81,
            ),
        ),
        measure="archbench.measure.output:output_of",
        is_usual=True,
    )
)  # fmt: skip
