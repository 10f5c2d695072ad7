"""The repository's own gate: the accepted counts are those of the catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest

from archbench.catalog import load_catalog
from archbench.core.complexity import layer_census
from archbench.core.lines import CountLine
from archbench.core.spec import ModelSpec
from archbench.measure.complexity import count
from archbench.models.libraries import library_version
from archbench.store.baselines import read_baselines

ACCEPTED = read_baselines(Path(__file__).parents[1] / "baselines" / "complexity.jsonl", CountLine)


def test_every_architecture_has_a_line() -> None:
    assert list(ACCEPTED.lines) == sorted(spec.id for spec in load_catalog().suite("all"))


def test_layers_add_up() -> None:
    for id, line in ACCEPTED.lines.items():
        assert sum(params * number for _, params, _, number in line.layers) == line.params, id
        assert sum(macs * number for _, _, macs, number in line.layers) == line.macs, id


@pytest.mark.parametrize("spec", load_catalog().suite("seeds"), ids=lambda spec: spec.id)
def test_seed_architectures_are_as_accepted(spec: ModelSpec) -> None:
    line = ACCEPTED.lines[spec.id]
    library, _, version = line.library.partition(" ")
    if library != "archbench" and library_version(library) != version:
        pytest.skip(f"accepted with {line.library}, installed is {library_version(library)}")
    complexity = count(spec)
    assert layer_census(complexity.layers) == line.layers
    for name in ("params", "trainable_params", "buffers", "macs", "activations", "max_channels"):
        assert getattr(complexity, name) == getattr(line, name), name
    assert list(complexity.output_shape) == line.output_shape
