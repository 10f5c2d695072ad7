"""The registry of metrics: name, unit, how it is compared, how it becomes text."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["METRICS", "Metric", "format_seconds", "format_significant"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that archbench measures or counts.

    Attributes:
        name: key in records.
        unit: SI, unscaled; ``1`` for a number of things.
        check: how two values are compared: ``equality``, ``statistics``, ``tolerance``, ``none``.
        title: heading in tables, with the unit that is printed.
        scale: factor from the stored unit to the printed one.
        digits: significant digits in tables.
    """

    name: str
    unit: str
    check: str
    title: str
    scale: float = 1.0
    digits: int = 4

    def text(self, value: float) -> str:
        """The printed form: the one place where a value is scaled and rounded."""
        return format_significant(value * self.scale, self.digits)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("params", "1", "equality", "params M", 1e-6),
        Metric("trainable_params", "1", "equality", "trainable M", 1e-6),
        Metric("macs", "1", "equality", "GMACs", 1e-9),
        Metric("buffers", "1", "equality", "buffers M", 1e-6),
        Metric("activations", "1", "equality", "activations M", 1e-6),
        Metric("max_channels", "1", "equality", "max channels", 1.0, 9),
        Metric("operator_calls", "1", "equality", "operator calls", 1.0, 9),
        Metric("latency", "s", "statistics", "latency ms", 1e3),
        Metric("cpu_time", "s", "statistics", "CPU time ms", 1e3),
        Metric("device_time", "s", "statistics", "device time ms", 1e3),
        Metric("compile_time", "s", "none", "compile time s", 1.0, 3),
        Metric("graph_breaks", "1", "none", "graph breaks", 1.0, 9),
        Metric("recompilations", "1", "none", "recompilations", 1.0, 9),
        Metric("max_batch_size", "1", "none", "max batch size", 1.0, 9),
        Metric("throughput", "1/s", "none", "images/s", 1.0),
        Metric("top1", "%", "none", "top-1 %", 1.0),
        Metric("top5", "%", "none", "top-5 %", 1.0),
        Metric("latency_p95", "s", "none", "p95 ms", 1e3),
        Metric("latency_per_image", "s", "none", "ms per image", 1e3),
        Metric("peak_memory", "B", "tolerance", "peak memory MB", 1e-6),
        Metric("reserved_memory", "B", "none", "reserved memory MB", 1e-6),
        Metric("device_memory", "B", "none", "device memory MB", 1e-6),
        Metric("average_power", "W", "none", "average power W", 1.0),
        Metric("energy_per_image", "J", "tolerance", "energy per image mJ", 1e3),
        Metric("density", "%", "none", "top-1 % per M params", 1.0),
        Metric("top1_per_gmac", "%", "none", "top-1 % per GMAC", 1.0),
    )
}
"""Every metric by its name."""


def format_significant(value: float, digits: int) -> str:
    """A number with so many significant digits, never in exponent form: ``0.4043``, ``138.4``."""
    if value == 0:
        return "0"
    text = f"{value:.{digits}g}"
    if "e" in text:
        return f"{float(text):.0f}" if abs(value) >= 1 else f"{value:.{digits + 4}f}"
    return text


def format_seconds(seconds: float) -> str:
    """A duration as people say it: ``850 ms``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
