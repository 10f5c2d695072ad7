"""What an engine made of a network, and what a process takes that has nothing but both."""

from __future__ import annotations

from archbench.core.entries import MetricEntry
from archbench.measure.running import Runner, forward_passes, within_memory
from archbench.models.loading import LoadedModel
from archbench.runtimes.own import runtime_named


def deployed_of(loaded: LoadedModel) -> dict[str, MetricEntry]:
    """Peak memory of such a process and the time that it takes to open the network, and the nodes
    of the engine's graph; nothing of a runtime that needs torch."""
    if not runtime_named(loaded.target.runtime).is_engine:
        return {}
    with within_memory(loaded.target), forward_passes(loaded):
        prepared = Runner(loaded, loaded.device.wait).prepared
        nodes = None if prepared.nodes is None else prepared.nodes()
    metrics: dict[str, MetricEntry] = {}
    if nodes is not None:
        metrics["engine_nodes"] = {"value": nodes.executed}
        otherwise = dict(nodes.otherwise)
        metrics["fallback_nodes"] = {"value": sum(otherwise.values()), "by_kind": otherwise}
    return {**metrics, **({} if prepared.deployed is None else prepared.deployed())}
