"""archbench's own runtimes. Imports torch."""

from __future__ import annotations

from archbench.runtimes import (
    aotinductor,
    compiled,
    cudagraph,
    eager,
    onnxruntime,
    onnxruntime_tensorrt,
    openvino,
    tensorrt,
)
from archbench.runtimes.registry import runtime_named

__all__ = [
    "aotinductor",
    "compiled",
    "cudagraph",
    "eager",
    "onnxruntime",
    "onnxruntime_tensorrt",
    "openvino",
    "runtime_named",
    "tensorrt",
]
