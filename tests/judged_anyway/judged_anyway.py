"""A plugin for runs of tests: times are judged however little of the machine was left for them."""

from __future__ import annotations


def pytest_configure() -> None:
    from archbench.core import rounds

    rounds.LEAST_RUNNING, rounds.MOST_STOLEN = 0.0, 1.0
