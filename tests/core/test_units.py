"""Quantities as people write them."""

from __future__ import annotations

import pytest

from archbench.core.errors import UsageError
from archbench.core.units import parse_quantity


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("10 ms", "a time", 0.010),
        ("10ms", "a time", 0.010),
        (" 250 us ", "a time", 0.000250),
        ("1.5 s", "a time", 1.5),
        ("5 M", "a number", 5_000_000),
        ("4.1 M", "a number", 4_100_000),  # 4.1 * 1e6 is 4,099,999.9999999995
        ("2 G", "a number", 2_000_000_000),
        ("3 K", "a number", 3_000),
        ("25_557_032", "a number", 25_557_032),
        ("0", "a number", 0),
        ("20 MB", "a size", 20_000_000),
        ("20 MiB", "a size", 20_971_520),
        ("1 GB", "a size", 1_000_000_000),
        ("1 GiB", "a size", 1_073_741_824),
        ("3 kB", "a size", 3_000),
        ("3 KiB", "a size", 3_072),
        ("7 B", "a size", 7),
        ("100 images/s", "a rate", 100),
        ("50 mJ", "an energy", 0.05),
        ("2 J", "an energy", 2),
        ("75.5 %", "a percentage", 75.5),
        ("5 %", "a share", 0.05),
        ("0.1%", "a share", 0.001),
    ],
)
def test_value(text: str, kind: str, value: float) -> None:
    assert parse_quantity(text, kind).value == value


def test_unit_and_its_scale_are_kept() -> None:
    quantity = parse_quantity("10 ms", "a time")
    assert (quantity.unit, quantity.scale) == ("ms", 0.001)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (
            "10",
            "a time",
            "'10': its unit is missing. Write a time as '10 ms'; units are s, ms, us",
        ),
        (
            "10 sec",
            "a time",
            "'10 sec': 'sec' is no unit of a time. Write a time as '10 ms'; units are s, ms, us",
        ),
        (
            "20 KB",
            "a size",
            "'20 KB': 'KB' is no unit of a size. "
            "Write a size as '20 MB'; units are B, kB, MB, GB, KiB, MiB, GiB",
        ),
        (
            "5 B",
            "a number",
            "'5 B': 'B' is no unit of a number. Write a number as '5 M'; units are K, M, G",
        ),
        (
            "5,000 images/s",
            "a rate",
            "'5,000 images/s': a rate is expected: digits, and a unit behind them. "
            "Write a rate as '100 images/s'; units are images/s",
        ),
        (
            "-5 %",
            "a share",
            "'-5 %': a share is expected: digits, and a unit behind them. "
            "Write a share as '5 %'; units are %",
        ),
    ],
)
def test_refusal(text: str, kind: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_quantity(text, kind)
    assert str(refused.value) == message


@pytest.mark.parametrize("text", ["", "ms", "nan s", "inf s", "1e3 s", "1 000 s", ".5 s", "١ s"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_quantity(text, "a time")


def test_a_number_beyond_the_largest_is_refused() -> None:
    with pytest.raises(UsageError, match="the number is too large"):
        parse_quantity("9" * 400, "a number")
