"""What a run says to CI systems."""

from archbench.report.ci.diagnostics import Diagnostic, Locate, diagnostics
from archbench.report.ci.figures import junit_properties, metrics_text
from archbench.report.ci.github import SUMMARY_LIMIT, annotation_lines, step_summary
from archbench.report.ci.gitlab import code_quality

__all__ = [
    "SUMMARY_LIMIT",
    "Diagnostic",
    "Locate",
    "annotation_lines",
    "code_quality",
    "diagnostics",
    "junit_properties",
    "metrics_text",
    "step_summary",
]
