"""What to type or write where a change that fails a test is meant."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable

import pytest

from archbench.core.gate import COUNTS
from archbench.core.lines import CountLine, TimeLine
from archbench.core.rounds import Judgement, default_rules
from archbench.core.side_facts import SideFacts
from archbench.core.verdicts import Verdict
from archbench.pytest_plugin.configuration import configuration_of
from archbench.pytest_plugin.gate import accepted_counts, gate_of
from archbench.pytest_plugin.options import destination
from archbench.pytest_plugin.settings import settings_of


def how_to_accept(node: pytest.Item, model: str | None = None) -> str:
    """How what is stored comes to be another baseline: of one architecture of the catalogue by its
    id, else of all that the command is about."""
    path = node.nodeid.partition("::")[0]
    config = node.config
    # The id of a test is relative to the root, and names no file where that lies elsewhere.
    is_here = config.invocation_params.dir == config.rootpath and (config.rootpath / path).is_file()
    if settings_of(config).against is not None:
        return (
            "If this is meant: run the same command with --baseline-update in place of --against."
        )
    if model is None or model.startswith("local/") or not is_here:
        return "If this is meant, run the same command with --baseline-update."
    return f"If this is meant: pytest {path} --models={model} --baseline-update"


def how_to_accept_counts(
    config: pytest.Config, facts: SideFacts, changed: Iterable[Verdict]
) -> str:
    """What to do where exact figures differ from those of the other side."""
    if any(one.metric in COUNTS for one in changed):
        path = gate_of(config).path(CountLine)
        number = accepted_counts(config).numbers.get(facts.id)
        own = facts.id.startswith("local/")
        asked = (getattr(config.option, destination("models"), None) or []) if own else [facts.id]
        words = [*(f"--models={one}" for one in asked), "--baseline-update"]
        what = f"accept it by pytest benchmarks/test_complexity.py {shlex.join(words)}"
        has = f"has others in line {number}" if number else f"has none of {facts.id}"
    else:
        path = gate_of(config).path(TimeLine, facts.target.slug, facts.target.dtype)
        what = "run the same on this device with --baseline-update in place of --against"
        has = "holds what was accepted there"
    return (
        f"If this is meant: {what}, and commit {path.relative_to(config.rootpath)}, which {has}.\n"
        f"Or let counts = 'report' in {table_of(config, 'paired')} report such changes: they fail "
        "nothing."
    )


def how_to_let_pass(config: pytest.Config, facts: SideFacts, judgement: Judgement) -> str:
    """What to write where a slow-down is meant, for each clock that is judged."""
    decision = judgement.decision
    worst = max(one for one in (decision.ratio, decision.high, 1.0) if one is not None)
    # A tenth more: another clock may say a little more than the one that decided.
    tolerated = 5 * math.ceil((worst - 1) * 22)
    rules = default_rules(facts.target.kind, facts.target.threads)
    others = [one.clock for one in rules if one.clock != judgement.clock]
    also = "".join(f", and the same again with clock = {one!r}" for one in others)
    return (
        "If this is meant: what is merged is what later changes are compared with. To let this one "
        f"pass, write {table_of(config, 'paired')} with architecture = {facts.id!r}, clock = "
        f"{judgement.clock!r}, tolerated_change = '{tolerated} %' and equivalence_margin = "
        f"'{tolerated + 5} %'{also}; delete this once it is merged."
    )


def table_of(config: pytest.Config, name: str) -> str:
    """The header of a table of the project's rules, and the file where they stand."""
    path = configuration_of(config).path
    if path is None:
        own = config.rootpath / "archbench.toml"
        path = config.rootpath / "pyproject.toml"
        path = path if path.is_file() and not own.is_file() else own
    prefix = "" if path.name == "archbench.toml" else "tool.archbench."
    return f"[[{prefix}{name}]] of {path.name}"
