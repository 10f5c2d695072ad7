"""What several modules of the plugin ask of a test or a run. Loaded in every pytest run: light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from archbench.models.loading import ModelHolder

__all__ = [
    "MODEL_ARGUMENT",
    "PRECISION_ARGUMENT",
    "TARGET_ARGUMENT",
    "free_holder",
    "holder_of",
    "runs_again",
    "uses_archbench",
]

MODEL_ARGUMENT = "_archbench_model"
TARGET_ARGUMENT = "_archbench_target"
PRECISION_ARGUMENT = "_archbench_precision"

_HOLDER: pytest.StashKey[ModelHolder] = pytest.StashKey()


def uses_archbench(item: pytest.Item) -> bool:
    """Whether a test measures through archbench."""
    names = getattr(item, "fixturenames", ())
    return "bench" in names and any(name.startswith("_archbench") for name in names)


def runs_again(report: pytest.TestReport | pytest.CollectReport) -> bool:
    """Whether a report is of an attempt after which a plugin runs the test again, as
    pytest-rerunfailures does: pytest itself has three outcomes."""
    return str(report.outcome) not in ("passed", "failed", "skipped")


def holder_of(config: pytest.Config) -> ModelHolder:
    """What keeps the model of this process that is loaded."""
    if _HOLDER not in config.stash:
        from archbench.models.loading import ModelHolder
        from archbench.pytest_plugin.settings import settings_of

        # A comparison's passes run in processes of its own, and what fails there is said there.
        config.stash[_HOLDER] = ModelHolder(tried=settings_of(config).against is None)
    return config.stash[_HOLDER]


def free_holder(config: pytest.Config) -> None:
    """Let go of the model that is loaded, if any is."""
    if _HOLDER in config.stash:
        config.stash[_HOLDER].free()
