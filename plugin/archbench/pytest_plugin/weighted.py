"""Networks with the weights that a run asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archbench.core.errors import UsageError
from archbench.core.spec import ModelSpec, Target
from archbench.pytest_plugin.options import spelled
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.shared import holder_of

if TYPE_CHECKING:
    from archbench.models.weights import WeightedModel

__all__ = ["weighted"]


def weighted(config: pytest.Config, spec: ModelSpec, target: Target, weights: str) -> WeightedModel:
    """The network of an architecture with the weights that are asked for; a request that makes no
    sense ends the run."""
    from archbench.models.weights import load_weighted

    settings = settings_of(config)
    try:
        network = holder_of(config).network(spec) if spec.is_own else None
        return load_weighted(
            spec, target, weights, network, resize=settings.resize, crop=settings.crop
        )
    except UsageError as error:
        # The same request for every architecture: one message instead of one for each.
        pytest.exit(spelled(config, f"archbench: {error}"), returncode=pytest.ExitCode.USAGE_ERROR)
