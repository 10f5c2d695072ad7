"""Numbers with a unit, as people write them: ``10 ms``, ``5 M``, ``20 MiB``, ``5 %``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from archbench.core.errors import UsageError

UNITS: dict[str, Mapping[str, Decimal]] = {
    "a number": {
        "": Decimal(1),
        "K": Decimal(10**3),
        "M": Decimal(10**6),
        "G": Decimal(10**9),
    },
    "a time": {"s": Decimal(1), "ms": Decimal("1e-3"), "us": Decimal("1e-6")},
    "a size": {
        "B": Decimal(1),
        "kB": Decimal(10**3),
        "MB": Decimal(10**6),
        "GB": Decimal(10**9),
        "KiB": Decimal(2**10),
        "MiB": Decimal(2**20),
        "GiB": Decimal(2**30),
    },
    "an energy": {"J": Decimal(1), "mJ": Decimal("1e-3")},
    "a rate": {"images/s": Decimal(1)},
    "a percentage": {"%": Decimal(1)},
    "a share": {"%": Decimal("1e-2")},
}
"""For each kind of quantity its units, with what they are in SI. A percentage stays one, as top-1
is stored; a share of one is written in percent as well."""

_EXAMPLES = {
    "a number": "5 M",
    "a time": "10 ms",
    "a size": "20 MB",
    "an energy": "50 mJ",
    "a rate": "100 images/s",
    "a percentage": "75 %",
    "a share": "5 %",
}

_QUANTITY = re.compile(r"(?P<number>[0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?)\s*(?P<unit>\S*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit.

    Attributes:
        value: in SI.
        unit: as written; empty for a plain number.
        scale: what one such unit is in SI.
    """

    value: float
    unit: str
    scale: float


def parse_quantity(text: str, kind: str) -> Quantity:
    """Read a quantity; the unit cannot be left out, but for a number of things.

    The product of number and unit is rounded once: ``4.1 M`` is 4,100,000.

    Args:
        text: ``10 ms``, ``10ms``, ``25_557_032``.
        kind: one of :data:`UNITS`.

    Raises:
        UsageError: it is not a quantity of that kind; says how to write one.
    """
    units = UNITS[kind]
    named = [unit for unit in units if unit]
    todo = f"Write {kind} as {_EXAMPLES[kind]!r}; units are {', '.join(named)}"
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise UsageError(repr(text), f"{kind} is expected: digits, and a unit behind them", todo)
    unit = match["unit"]
    if unit not in units:
        found = f"{unit!r} is no unit of {kind}" if unit else "its unit is missing"
        raise UsageError(repr(text), found, todo)
    value = float(Decimal(match["number"].replace("_", "")) * units[unit])
    if not math.isfinite(value):
        raise UsageError(repr(text), "the number is too large", todo)
    return Quantity(value, unit, float(units[unit]))
