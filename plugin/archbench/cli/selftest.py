"""``archbench selftest``: how often the gate is wrong on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from archbench.cli.architectures import whole_number
from archbench.core.errors import UsageError
from archbench.replay import replay
from archbench.selftest import PAIRED, STORED, selftest


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "selftest",
        help="find out how often the gate is wrong on this machine",
        description="Repeat runs with nothing changed, and with networks made slower by a known "
        "amount, on this machine; print false alarms and what was found.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--stored", action="store_true", help="the gate of stored baselines")
    which.add_argument("--paired", action="store_true", help="two versions side by side")
    parser.add_argument(
        "--cells", type=whole_number, metavar="N", help="networks (default: 10; paired: 20)"
    )
    parser.add_argument(
        "--rounds",
        type=_number_of_runs,
        metavar="N",
        help="unchanged runs (default: 30; paired: 3)",
    )
    parser.add_argument(
        "--injected-rounds",
        type=_number_of_runs,
        metavar="N",
        help="runs of each slow-down: 20 %% and 50 %% more layers (default: 6), paired: 2, 5 "
        "and 10 %% (default: 1)",
    )
    parser.add_argument(
        "--store",
        metavar="FILE",
        help="paired: append all rounds to a file, as JSON lines",
    )
    parser.add_argument("--gpu", help="paired: the device to try it on (default: cpu)")
    parser.add_argument(
        "--runtime", default="eager", help="to try it by, as of pytest (default: eager)"
    )
    parser.add_argument(
        "--replay",
        metavar="FILE",
        help="paired: feed the rounds in a file to the rule, and measure nothing",
    )
    parser.set_defaults(run=run)


def _number_of_runs(text: str) -> int:
    return 0 if text == "0" else whole_number(text)


def run(options: argparse.Namespace) -> int:
    """Try a gate, or what a paired comparison's stored rounds lead to."""
    if not options.paired and (options.replay is not None or options.store is not None):
        raise UsageError(
            "archbench selftest --stored", "its runs have no rounds", "Add --paired instead"
        )
    if not options.paired and options.gpu is not None:
        raise UsageError(
            f"archbench selftest --stored --gpu={options.gpu}",
            "it tries the CPU",
            "Add --paired instead, or leave --gpu out",
        )
    if options.replay is not None:
        outcomes = replay(Path(options.replay))
    else:
        outcomes = selftest(
            PAIRED if options.paired else STORED,
            say=lambda text: print(text, flush=True),
            cells=options.cells,
            rounds=options.rounds,
            injected_rounds=options.injected_rounds,
            store=None if options.store is None else Path(options.store),
            gpu=options.gpu or "cpu",
            runtime=options.runtime,
        )
    print()
    for outcome in outcomes:
        print(outcome.text())
    return 0
