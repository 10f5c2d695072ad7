"""The networks that a side of a paired comparison holds, and what they do on its turns.

Needs torch.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from archbench.core.entries import MetricEntry
from archbench.core.errors import NotMeasuredError
from archbench.core.records import Record
from archbench.core.side_facts import SideFacts
from archbench.measure.cells import load_guarded
from archbench.measure.imports import imported_by, imported_of
from archbench.measure.side_network import SideNetwork, seed_of, undisturbed, varied
from archbench.models.loading import LoadedModel, ModelHolder
from archbench.pytest_plugin.selection import one_model
from archbench.pytest_plugin.turns import TakingTurns
from archbench.runtimes.own import runtime_named
from archbench.workers.imports import Trees
from archbench.workers.messages import Said
from archbench.workers.pairs import REFERENCE


def take_turns(here: TakingTurns, loaded_model: LoadedModel) -> Record:
    """Say that a model is ready, and let time pass on each turn until the next test is due.

    Returns:
        What was measured on the candidate's side, or on the only one.
    """
    order = here.order
    held = _held(here, loaded_model)
    networks = {side: one.network for side, one in held.items()}
    walls: list[float] = []
    cpus: list[float] = []
    with undisturbed():
        facts = {
            side: here.blaming(side, one.facts, here.exact, not order.flags)
            for side, one in held.items()
        }
        if order.imports.trees is not None:
            for one in held.values():
                one.refuse_other_tree(order.imports.trees)
        here.settle()
        here.channel.send(Said(ready=facts))
        while True:
            message = here.channel.receive()
            side = message.side or order.sides[-1]
            if message.do == "burst":
                burst = here.blaming(side, networks[side].burst, message.seconds, message.move)
                here.channel.send(Said(burst=burst))
                if side == order.sides[-1]:
                    walls += burst.wall
                    cpus += burst.cpu
            elif message.do == "modules":
                modules = here.blaming(side, networks[side].modules, message.passes)
                here.channel.send(Said(modules=modules))
            else:
                break
    here.timed = True
    common: MetricEntry = {"unit": "s", "basis": "batch", "source": "measured"}
    return Record(
        loaded_model.spec.id,
        loaded_model.target,
        {
            "latency": {**common, "samples": walls, "clock": "wall"},
            "cpu_time": {**common, "samples": cpus, "clock": "process"},
        },
    )


@dataclass(frozen=True, slots=True)
class _Held:
    """A side that this process holds."""

    network: SideNetwork
    loaded: LoadedModel
    tree: Path | None

    def facts(self, exact: bool, alone: bool) -> SideFacts:
        """What it says about its model, with where its code and that of an engine are from."""
        facts = self.network.facts(exact=exact, alone=alone)
        if exact:
            # What a network of a person's own imports is in place for it alone.
            with self.loaded.in_place():
                found = imported_of(self.loaded.module, self.loaded.spec.constructor, self.tree)
            engine = imported_by(getattr(runtime_named(self.loaded.target.runtime), "packages", ()))
            return replace(facts, imported=(*found, *engine))
        return facts

    def refuse_other_tree(self, trees: Trees) -> None:
        """See that nothing is imported from the other side's work tree.

        Raises:
            NotMeasuredError: something is.
        """
        with self.loaded.in_place():
            modules = list(sys.modules.items())
        for name, module in modules:
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and trees.is_ours(file):
                raise NotMeasuredError(
                    "other-tree",
                    f"{name} was imported from {file}, which is the other side's: what would be "
                    "timed is not the revision. Let Python find it by its name, and not by a path "
                    "of its own",
                )


def _held(here: TakingTurns, loaded: LoadedModel) -> dict[str, _Held]:
    """The sides that this process holds."""
    order, flags, tree = here.order, here.order.flags, here.order.imports.theirs
    seed = seed_of(order.seed, loaded.spec.id)

    def hold(side: str) -> _Held:
        own = loaded
        if side == REFERENCE and flags:
            spec = loaded.spec
            if "model" in flags:
                spec = one_model(here.config, flags["model"], "--against=model=")
            # A holder of its own: the other side's model stays.
            own = load_guarded(
                ModelHolder(artefacts=loaded.artefacts), spec, varied(loaded.target, flags)
            )
        return _Held(SideNetwork(own, seed), own, Path(tree) if tree else None)

    return {side: here.blaming(side, hold, side) for side in order.sides}
