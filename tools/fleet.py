"""How long the whole catalogue takes in 1 to 512 shards, and what stands in the way: a simulation.

    python tools/fleet.py
    python tools/fleet.py --rate=2e12 --batch-size=32

No device is used. A cell takes what ``--shard`` reckons (its multiply-adds at a rate, and the time
budget), each machine takes a while to come up, and chance makes each cell slower than was reckoned:
the shares are made by what was reckoned, as in a real run.
"""

from __future__ import annotations

import argparse
import heapq
import random

from archbench.catalog.catalog import load_catalog
from archbench.catalog.counts import counted_figures
from archbench.core.pace import STARTING, Pace
from archbench.core.shards import shares
from archbench.report.tables import Table

SPREAD = 0.3
"""Standard deviation of the logarithm of a cell's time over what was reckoned."""


def reckoned(rate: float, batch_size: int, budget: float) -> dict[str, float]:
    """Seconds of each architecture of the catalogue: its count and one time."""
    pace = Pace(rate)
    found = {}
    for model in load_catalog().select((), ("*",)):
        macs = counted_figures(model.id).get("macs")
        value = None if macs is None else macs.value
        found[model.id] = pace.cell(value, 1, 0.0) + pace.cell(value, batch_size, budget)
    return found


def handed_out(expected: dict[str, float], took: dict[str, float], of: int) -> float:
    """Seconds until all are done where whoever is free takes the next longest, as with ``-n``."""
    free = [0.0] * of
    for name in sorted(expected, key=lambda one: -expected[one]):
        heapq.heappush(free, heapq.heappop(free) + took[name])
    return max(free)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=2e10, help="multiply-adds in a second")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--time-budget", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    expected = reckoned(options.rate, options.batch_size, options.time_budget)
    chance = random.Random(options.seed)
    took = {name: each * chance.lognormvariate(0, SPREAD) for name, each in expected.items()}
    work = STARTING + sum(took.values())
    longest = max(took, key=took.__getitem__)
    rows = []
    for power in range(10):
        of = 2**power
        loads = [sum(took[name] for name in share) for share in shares(expected, of)]
        wall, one_by_one = STARTING + max(loads), STARTING + handed_out(expected, took, of)
        even = sum(took.values()) / of
        lost = (STARTING, max(loads) - even)
        rows.append(
            [of, f"{wall:,.0f}", f"{work / (of * wall):.1%}",
             *(f"{one / wall:.1%}" for one in lost), f"{work / (of * one_by_one):.1%}"]
        )  # fmt: skip
    print(f"{len(expected)} architectures, {work:,.0f} s of work; the longest is {longest}, "
          f"{took[longest]:,.0f} s")  # fmt: skip
    headers = (
        "machines",
        "seconds",
        "efficiency",
        "lost in starting",
        "lost in unevenness",
        "efficiency one by one",
    )
    print(Table(headers, rows).print_as("markdown"))


if __name__ == "__main__":
    main()
