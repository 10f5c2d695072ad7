"""What the commands that count one architecture have in common."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from archbench.catalog import load_catalog
from archbench.catalog.own import is_own_request, own_architectures
from archbench.core.errors import UsageError, some
from archbench.core.requests import parse_request
from archbench.core.spec import ModelSpec


def whole_number(text: str) -> int:
    """What an option that is a number of things holds."""
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number of at least 1; write for example 2"
        )
    return int(text)


def architecture(command: str, request: str, pixels: int | None = None) -> ModelSpec:
    """The one architecture that a request is about, fed images of ``pixels`` if that is given."""
    asked = f"archbench {command} {request}"
    if pixels is not None and parse_request(request, asked).size:
        raise UsageError(
            f"{asked} --input-size={pixels}",
            "both the id and the option say how large the images are",
            "Give one of them",
        )
    found: Sequence[ModelSpec]
    if is_own_request(request):
        found = own_architectures(request, Path.cwd(), f"archbench {command} ")
    elif request.startswith("local/"):
        raise UsageError(
            asked,
            "architectures of one's own are known by that name to a run of pytest only",
            f"Write archbench {command} path/to/file.py:constructor",
        )
    else:
        found = load_catalog().select((), request) if request.strip(" ,") else ()
    if len(found) != 1:
        raise UsageError(
            asked,
            f"it names {len(found)} architectures: {some([spec.id for spec in found], 5)}"
            if found
            else "it names no architecture",
            "Write one of them" if found else "Write an id such as timm/resnet50",
        )
    return found[0] if pixels is None else found[0].with_input_size(pixels)
