"""What several modules of the plugin ask of a test or a run. Loaded in every pytest run: light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from archbench.core.spec import ModelSpec
    from archbench.models.loading import ModelHolder

MODEL_ARGUMENT = "_archbench_model"
TARGET_ARGUMENT = "_archbench_target"
PRECISION_ARGUMENT = "_archbench_precision"

HOLDER: pytest.StashKey[ModelHolder] = pytest.StashKey()
"""Of what keeps the model of this process that is loaded."""


def uses_archbench(item: pytest.Item) -> bool:
    """Whether a test measures through archbench."""
    names = getattr(item, "fixturenames", ())
    return "bench" in names and any(name.startswith("_archbench") for name in names)


def runs_again(report: pytest.TestReport | pytest.CollectReport) -> bool:
    """Whether a report is of an attempt after which a plugin runs the test again, as
    pytest-rerunfailures does: pytest itself has three outcomes."""
    return str(report.outcome) not in ("passed", "failed", "skipped")


def leave_fixtures(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Tear down what only tests before this one needed, which does not run in this process."""
    item.session._setupstate.teardown_exact(nextitem)


def forget_network(config: pytest.Config, spec: ModelSpec) -> None:
    """Have a network built anew when it is next asked for."""
    if HOLDER in config.stash:
        config.stash[HOLDER].forget(spec)


def free_holder(config: pytest.Config) -> None:
    """Let go of the model that is loaded, if any is."""
    if HOLDER in config.stash:
        config.stash[HOLDER].free()
