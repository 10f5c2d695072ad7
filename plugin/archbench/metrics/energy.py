"""Energy per image and power, by a counter."""

from __future__ import annotations

from archbench.metrics.metric import Family, Metric, Tolerance, register

register(
    Family(
        "energy",
        (
            Metric(
                name="average_power", unit="W", title="average power W", error=0.03,
                tables=("list",), place=71,
            ),
            Metric(
                name="energy_per_image", unit="J", title="energy per image mJ", scale=1e3,
                check="tolerance", error=0.03, kind="an energy", example="absolute = '2 mJ'",
                presets={
                    "strict": Tolerance(0.03, absolute=0.0),
                    "default": Tolerance(0.05, absolute=0.0),
                    "lenient": Tolerance(0.15, absolute=0.0),
                },
                option="energy", option_help="of an image: 50mJ", label="Energy",
                axis="energy per image (mJ)", tables=("run", "list"), place=70,
            ),
        ),
        measure="archbench.measure.cells:energy_of",
    )
)  # fmt: skip
