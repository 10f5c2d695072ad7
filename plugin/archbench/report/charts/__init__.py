"""Pictures of the field's charts with matplotlib: PNG and SVG.

``plotly`` draws the same ones on the report's page; these are for papers, READMEs and slides. What
a chart shows stands once, in :mod:`archbench.report.charts.declared`.
"""

from archbench.report.charts.declared import CHARTS, Chart
from archbench.report.charts.registry import FORMATS, PICTURES, draw, draw_charts, why_not

__all__ = ["CHARTS", "FORMATS", "PICTURES", "Chart", "draw", "draw_charts", "why_not"]
