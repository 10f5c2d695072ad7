"""Pictures of the field's charts with matplotlib: PNG and SVG.

``plotly`` draws the same ones on the report's page; these are for papers, READMEs and slides.
"""

from archbench.report.charts.registry import (
    CHARTS,
    FORMATS,
    Chart,
    draw,
    draw_charts,
    why_not,
)

__all__ = ["CHARTS", "FORMATS", "Chart", "draw", "draw_charts", "why_not"]
