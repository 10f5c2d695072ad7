"""A process that is a side of a duet: a pytest of its own that runs the tests it is told.

In it ``bench.latency(loaded_model)`` does not measure by itself: it says that it is ready, and lets
time pass whenever the conductor's token comes (:mod:`archbench.duet.protocol`). So a project's own
fixtures, hooks and architectures are the same there.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from archbench.duet.protocol import VERSION, Channel, GoneError

if TYPE_CHECKING:
    from archbench.core.records import Record
    from archbench.measure.partner import Partner
    from archbench.models.loading import LoadedModel

__all__ = ["DuetOrder", "Dueting", "dance", "dueting"]

REFERENCE = "reference"

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class DuetOrder:
    """What a side is told at its start.

    Attributes:
        connection: file descriptor of its end of the connection.
        sides: that it holds: one, or both of a duet within one process.
        cells: ids of the tests that may be asked of it.
        seed: of what is random in it.
        core: of the CPU to stay on; None to stay free.
        flags: in which the reference differs, where this process holds it; empty where its code or
            its environment does.
        foreign: directory whose code must not be imported, being the other side's; empty for none.
        tree: directory inside it that may be.
    """

    connection: int
    sides: tuple[str, ...]
    cells: tuple[str, ...]
    seed: int
    core: int | None
    flags: dict[str, str]
    foreign: str = ""
    tree: str = ""

    @classmethod
    def read(cls, path: Path) -> DuetOrder:
        """From the file that the command line names."""
        data = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**data, "sides": tuple(data["sides"]), "cells": tuple(data["cells"])})


_DUETING: pytest.StashKey[Dueting] = pytest.StashKey()


def dueting(config: pytest.Config) -> Dueting | None:
    """What this process is a side by; None where it is none."""
    path = getattr(config.option, "archbench_duet", None)
    if path is None:
        return None
    if _DUETING not in config.stash:
        config.stash[_DUETING] = Dueting(config, DuetOrder.read(Path(path)))
    return config.stash[_DUETING]


class Dueting:
    """The plugin of a process that is a side."""

    def __init__(self, config: pytest.Config, order: DuetOrder) -> None:
        self.order = order
        self.channel = Channel(socket.socket(fileno=order.connection))
        # What a test starts must not keep the connection open.
        os.set_inheritable(order.connection, False)
        self.exact = False
        self.danced = False
        self.ended: dict[str, Any] = {}
        self.config = config
        self._only_here: list[str] = []
        self._cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep what may be asked for; note what only this side has."""
        wanted = set(self.order.cells)
        self._only_here = [
            item.nodeid
            for item in items
            if item.nodeid not in wanted and "loaded_model" in getattr(item, "fixturenames", ())
        ]
        items[:] = [item for item in items if item.nodeid in wanted]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> object:
        """Serve the conductor until it has enough or is gone."""
        items = {item.nodeid: item for item in session.items}
        self._import()
        self.channel.send(
            {
                "hello": VERSION,
                "sides": list(self.order.sides),
                "only_here": self._only_here,
                "versions": _versions(),
            }
        )
        try:
            while True:
                message = self.channel.receive()
                if message.get("do") == "end":
                    return True
                if message.get("do") == "run":
                    self._run(message, items)
        except GoneError:
            # Nobody is left to measure for.
            return True

    def settle(self) -> None:
        """Go to the core of the pair, for what is timed."""
        if self.order.core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {self.order.core})

    def _leave_core(self) -> None:
        """Go wherever there is room: both sides import and load side by side, on their own."""
        if self.order.core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, self._cores)

    def blaming(self, side: str, work: Callable[..., _Result], *given: Any) -> _Result:
        """Do something for a side; what fails is that side's."""
        try:
            return work(*given)
        except Exception:
            self.ended["side"] = side
            raise

    def _import(self) -> None:
        """What every cell needs, before the time of the first one starts."""
        import archbench.measure.cells
        import archbench.measure.partner  # noqa: F401

    def _run(self, message: dict[str, Any], items: dict[str, pytest.Item]) -> None:
        cell = message["cell"]
        self.exact, self.danced, self.ended = bool(message["facts"]), False, {}
        item = items.get(cell)
        if item is None:
            self.ended = {
                "status": "not-measured",
                "reason": "only-on-one-side",
                "sentence": "it has no such test",
            }
        else:
            self._leave_core()
            # Without a next one all fixtures are torn down: what the next cell has is its own.
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        from archbench.models.process_state import left_behind

        # What this network has left behind would move the times of the next one.
        self.channel.send({"ended": {**self.ended, "leaves": bool(left_behind())}})

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note why a test ended before it was timed."""
        if self.danced or self.ended.get("status") or report.passed:
            return
        record = getattr(report, "archbench", None)
        verdicts = record["verdicts"] if record is not None else []
        text = report.longreprtext
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else text
            sentence = f"it is skipped: {reason}"
            self.ended |= {"status": "not-measured", "reason": "skipped", "sentence": sentence}
        elif record is not None and report.when == "setup" and (lacking := _lacking(record["id"])):
            self.ended |= {
                "status": "not-measured",
                "reason": "only-on-one-side",
                "sentence": lacking,
            }
        elif verdicts:
            verdict = verdicts[-1]
            _, _, details = text.partition("\n\n")
            self.ended |= {
                "status": verdict["status"],
                "reason": verdict["reason"],
                "sentence": verdict["sentence"],
                "details": details,
            }
        else:
            lines = text.strip().splitlines() or ["its test failed"]
            self.ended |= {
                "status": "crashed",
                "reason": "test-failed",
                "sentence": f"its test failed: {lines[-1]}",
                "details": text,
            }


def _lacking(model: str) -> str | None:
    """What to say of an architecture that the library here does not have; None where it does."""
    library, _, name = model.partition("/")
    if library in ("local", "archbench"):
        return None
    from archbench.measure.environment import provenance
    from archbench.models.libraries import names

    try:
        is_there = name.partition("@")[0] in names(library)
    except ImportError:
        return f"{library} is not installed there"
    return None if is_there else f"{provenance(library)} has no {name}"


def _versions() -> dict[str, str]:
    from archbench.measure.environment import package_versions

    return package_versions()


def dance(duet: Dueting, loaded_model: LoadedModel) -> Record:
    """Say that a model is ready, and let time pass on each token until the next test is due.

    Returns:
        What was measured on the candidate's side, or on the only one.
    """
    from archbench.core.records import Record
    from archbench.measure.partner import undisturbed

    order = duet.order
    partners = _partners(duet, loaded_model)
    walls: list[float] = []
    cpus: list[float] = []
    with undisturbed():
        facts = {
            side: duet.blaming(side, _facts, one, duet.exact, not order.flags)
            for side, one in partners.items()
        }
        leaked = _leaked(order)
        if leaked:
            from archbench.core.errors import NotMeasuredError

            raise NotMeasuredError(
                "other-tree",
                f"{leaked[0][0]} was imported from {leaked[0][1]}, which is the other side's: what "
                "would be timed is not the revision. Import it from the project's root or src/, "
                "and not by a path of its own",
            )
        duet.settle()
        duet.channel.send({"ready": facts})
        while True:
            message = duet.channel.receive()
            side = message.get("side", order.sides[-1])
            if message["do"] == "burst":
                burst = duet.blaming(
                    side,
                    partners[side].burst,
                    float(message["seconds"]),
                    bool(message.get("move")),
                )
                duet.channel.send({"burst": burst.as_dict()})
                if side == order.sides[-1]:
                    walls += burst.wall
                    cpus += burst.cpu
            elif message["do"] == "modules":
                modules = duet.blaming(side, partners[side].modules, int(message["passes"]))
                duet.channel.send({"modules": modules})
            else:
                break
    duet.danced = True
    common = {"unit": "s", "basis": "batch", "source": "measured"}
    target = facts[order.sides[-1]]["target"]
    return Record(
        loaded_model.spec.id,
        target,
        {
            "latency": {**common, "samples": walls, "clock": "wall"},
            "cpu_time": {**common, "samples": cpus, "clock": "process"},
        },
    )


def _facts(partner: Partner, exact: bool, alone: bool) -> dict[str, Any]:
    return partner.facts(exact=exact, alone=alone)


def _partners(duet: Dueting, loaded: LoadedModel) -> dict[str, Partner]:
    """The sides that this process holds."""
    from archbench.measure.cells import load_guarded
    from archbench.measure.partner import Partner, seed_of, varied
    from archbench.models.loading import ModelHolder
    from archbench.pytest_plugin.selection import one_model

    order, flags = duet.order, duet.order.flags
    seed = seed_of(order.seed, loaded.spec.id)

    def partner(side: str) -> Partner:
        if side == REFERENCE and flags:
            spec = loaded.spec
            if "model" in flags:
                spec = one_model(duet.config, flags["model"], "--against=model=")
            # A holder of its own: the other side's model stays.
            return Partner(load_guarded(ModelHolder(), spec, varied(loaded.target, flags)), seed)
        return Partner(loaded, seed)

    return {side: duet.blaming(side, partner, side) for side in order.sides}


def _leaked(order: DuetOrder) -> Sequence[tuple[str, str]]:
    """Modules of the other side's tree that this process has imported."""
    if not order.foreign:
        return []
    foreign, tree = (Path(path).resolve() for path in (order.foreign, order.tree))
    prefixes = [Path(path).resolve() for path in {sys.prefix, sys.base_prefix}]
    harness = Path(__file__).resolve().parents[1]
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str):
            continue
        path = Path(file).resolve()
        if not path.is_relative_to(foreign) or path.is_relative_to(tree):
            continue
        if path.is_relative_to(harness) or "site-packages" in path.parts:
            continue
        if any(path.is_relative_to(prefix) and prefix != foreign for prefix in prefixes):
            continue
        found.append((name, file))
    return found
