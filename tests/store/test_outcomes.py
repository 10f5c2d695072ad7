"""Files of outcomes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from archbench.core.accuracy import Outcomes
from archbench.core.errors import ArchbenchError
from archbench.store.outcomes import (
    StoredOutcomes,
    outcomes_from_text,
    outcomes_path,
    outcomes_text,
    read_outcomes,
    write_outcomes,
)

EXAMPLES = Path(__file__).parent / "examples"


def test_one_bit_an_image() -> None:
    chance = random.Random(0)
    half = Outcomes.of((chance.random() < 0.5 for _ in range(50_000)), "d")
    assert len(half.bits) == 6250
    text = outcomes_text(half)
    # Nothing can be saved of coin tosses: four letters for three bytes.
    assert text[0] == "r"
    assert len(text) == 1 + 4 * 2084
    assert outcomes_from_text(text, 50_000, "d") == half
    most = Outcomes.of((chance.random() < 0.95 for _ in range(50_000)), "d")
    assert outcomes_text(most)[0] == "z"
    assert len(outcomes_text(most)) < 5000
    assert outcomes_from_text(outcomes_text(most), 50_000, "d") == most


@pytest.mark.parametrize("text", ["", "x", "rAAAA", "r!", "zAAAA", "z", "rAAAAAAAA"])
def test_what_is_no_bits(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        outcomes_from_text(text, 12, "d")


def test_few_bytes_cannot_claim_much_memory() -> None:
    import base64
    import zlib

    bomb = "z" + base64.b64encode(zlib.compress(bytes(10**8), 9)).decode()
    with pytest.raises(ValueError, match="3 bytes of outcomes for 12 images"):
        outcomes_from_text(bomb, 12, "d")


def test_there_and_back(tmp_path: Path) -> None:
    stored = StoredOutcomes({"top1": Outcomes.of([True, False, True], "d")}, {"id": "timm/a"})
    path = outcomes_path(tmp_path, "timm/a@192", "fp32")
    assert path == tmp_path / "outcomes" / "timm" / "a@192.fp32.json"
    write_outcomes(path, stored)
    assert read_outcomes(path) == stored


def test_a_name_cannot_leave_the_directory(tmp_path: Path) -> None:
    assert outcomes_path(tmp_path, "local/../../x", "fp32").name == ".._.._x-9cdf6a50.fp32.json"


def test_an_example_of_schema_1() -> None:
    # 0b10100000: of three images the first and the third.
    stored = read_outcomes(EXAMPLES / "outcomes-schema-1.json")
    assert stored.outcomes["top1"] == Outcomes(b"\xa0", 3, "d" * 32)
    assert stored.about == {"id": "timm/a"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "has schema 2, this archbench reads up to 1"),
        ({"format": "other"}, "no file of outcomes"),
        ({"metrics": {"top1": {"images": 9, "digest": "d", "bits": "roA=="}}}, "1 bytes"),
        ({"metrics": []}, "no file of outcomes"),
        ({"about": None, "metrics": {"top1": {}}}, "KeyError"),
    ],
)
def test_damaged_and_newer_files(tmp_path: Path, change: dict[str, object], said: str) -> None:
    content = json.loads((EXAMPLES / "outcomes-schema-1.json").read_text(encoding="utf-8"))
    path = tmp_path / "x.json"
    path.write_text(json.dumps({**content, **change}), encoding="utf-8")
    with pytest.raises(ArchbenchError, match=said):
        read_outcomes(path)


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"format": "arch', encoding="utf-8")
    with pytest.raises(ArchbenchError, match="damaged"):
        read_outcomes(path)
