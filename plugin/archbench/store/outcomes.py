"""Outcomes of images in files: one bit each, and what they were obtained with."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from archbench.core.accuracy import Outcomes
from archbench.core.errors import ArchbenchError
from archbench.core.forms import Json
from archbench.store.atomic import regular, write_text

FORMAT = "archbench-outcomes"
SCHEMA = 1
"""Version of the format.

1: first version; ``metrics`` holds for each metric ``images``, ``digest`` and ``bits``.
"""


@dataclass(frozen=True, slots=True)
class StoredOutcomes:
    """A file of outcomes.

    Attributes:
        outcomes: by metric, ``top1`` and ``top5``.
        about: of what, builtin types.
    """

    outcomes: Mapping[str, Outcomes]
    about: Mapping[str, Json] = field(default_factory=dict)


def outcomes_text(outcomes: Outcomes) -> str:
    """The bits as text: compressed where that is shorter, in base 64."""
    packed = zlib.compress(outcomes.bits, 9)
    if len(packed) < len(outcomes.bits):
        return "z" + base64.b64encode(packed).decode()
    return "r" + base64.b64encode(outcomes.bits).decode()


def outcomes_from_text(text: str, images: int, digest: str) -> Outcomes:
    """The inverse of :func:`outcomes_text`.

    Raises:
        ValueError: it is not the bits of so many images.
    """
    try:
        raw = base64.b64decode(text[1:], validate=True)
        if text[:1] == "z":
            # No more than there can be: a few bytes may claim gigabytes.
            raw = zlib.decompressobj().decompress(raw, (images + 7) // 8 + 1)
        elif text[:1] != "r":
            raise ValueError(f"bits begin with {text[:1]!r}, expected r or z")
    except zlib.error as error:
        raise ValueError(f"bits cannot be unpacked ({error})") from error
    return Outcomes(raw, images, digest)


def outcomes_path(directory: Path, model: str, suffix: str) -> Path:
    """The file of a cell beside its run: ``outcomes/timm/resnet50.fp32.json``."""
    name = model.partition("/")[2]
    safe = re.sub(r"[^\w.@+-]", "_", name)
    if safe != name:  # arguments in brackets: two ids must not meet in one file
        safe = f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return directory / "outcomes" / model.partition("/")[0] / f"{safe}.{suffix}.json"


def write_outcomes(path: Path, stored: StoredOutcomes) -> None:
    """Write a file at once, directories included.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "format": FORMAT,
        "schema": SCHEMA,
        "about": stored.about,
        "metrics": {
            name: {
                "images": outcomes.images,
                "digest": outcomes.digest,
                "bits": outcomes_text(outcomes),
            }
            for name, outcomes in stored.outcomes.items()
        },
    }
    write_text(path, json.dumps(content, allow_nan=False) + "\n")


def read_outcomes(path: Path) -> StoredOutcomes:
    """Read a file of outcomes.

    Raises:
        ArchbenchError: it is damaged or newer than this archbench.
        OSError: it cannot be read.
    """
    try:
        content = json.loads(regular(path).read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}")
        schema = content["schema"]
        if type(schema) is int and schema > SCHEMA:
            raise ArchbenchError(
                f"{path} has schema {schema}, this archbench reads up to {SCHEMA}. "
                "Install a newer pytest-archbench"
            )
        outcomes = {
            name: outcomes_from_text(entry["bits"], entry["images"], entry["digest"])
            for name, entry in content["metrics"].items()
        }
        return StoredOutcomes(outcomes, content["about"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArchbenchError(
            f"{path} is no file of outcomes, or damaged ({type(error).__name__}: {error})"
        ) from error
