"""What pytest-archbench-core says of itself, taken from pytest-archbench's pyproject.toml."""

from __future__ import annotations

import re
import sys
from itertools import chain
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LIBRARIES = ("timm", "torchvision", "pytorchcv")
"""Requirements of pytest-archbench that are extras here."""

EXTRAS = (
    "devkit", "onnxruntime", "onnxruntime-gpu", "onnxruntime-tensorrt", "openvino", "quantization",
    "tensorrt",
)  # fmt: skip
"""Extras that both have."""

SHARED = (
    "description", "requires-python", "license", "authors", "keywords", "classifiers", "scripts",
    "entry-points",
)  # fmt: skip


class CoreMetadata(MetadataHookInterface):
    """Divides the requirements into those of the core and an extra for each library."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the fields that ``[project]`` calls dynamic."""
        path = Path(self.root).parent / "pyproject.toml"
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        metadata.update({name: project[name] for name in SHARED})
        required = project["dependencies"]
        extras = {name: [one for one in required if _name(one) == name] for name in LIBRARIES}
        metadata["dependencies"] = [one for one in required if _name(one) not in LIBRARIES]
        more = {name: project["optional-dependencies"][name] for name in EXTRAS}
        metadata["optional-dependencies"] = {**extras, "all": [*chain(*extras.values())], **more}


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
