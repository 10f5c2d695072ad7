"""Options become one frozen value, once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from archbench.core.spec import DTYPES
from archbench.pytest_plugin.options import (
    DEFAULT_TIME_BUDGET,
    QUICK_TIME_BUDGET,
    destination,
)

__all__ = ["Settings", "settings_of"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run was asked to do.

    Attributes:
        suite: name of a suite; None where only ``models`` select.
        models: ids, globs, ``file.py:constructor``.
        gpu: the device as asked for.
        dtypes, batch_sizes: every combination is a target of its own.
        threads: of the CPU per forward pass.
        time_budget: seconds of warm-up and samples per cell.
        quick: whether the budget is the short one.
        results: where to write the results file, if anywhere.
    """

    suite: str | None = None
    models: tuple[str, ...] = ()
    gpu: str = "auto"
    dtypes: tuple[str, ...] = ("fp32",)
    batch_sizes: tuple[int, ...] = (1,)
    threads: int = 1
    time_budget: float = DEFAULT_TIME_BUDGET
    quick: bool = False
    results: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """Builtin types, for the run's header."""
        return {
            "suite": self.suite,
            "models": list(self.models),
            "gpu": self.gpu,
            "dtypes": list(self.dtypes),
            "batch_sizes": list(self.batch_sizes),
            "threads": self.threads,
            "time_budget": self.time_budget,
            "quick": self.quick,
        }


def _whole_numbers(option: str, text: str) -> tuple[int, ...]:
    values: list[int] = []
    for part in text.split(","):
        try:
            value = int(part)
        except ValueError:
            value = 0
        if value < 1:
            raise pytest.UsageError(
                f"--{option}={text}: {part.strip()!r} is not a whole number of at least 1. "
                f"Write for example --{option}={'1,4,8' if option == 'batch-size' else '2'}"
            )
        values.append(value)
    return tuple(dict.fromkeys(values))


def _seconds(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise pytest.UsageError(
            f"--{option}={text}: not a number of seconds above 0. "
            f"Write for example --{option}=2, or use --quick for a glance"
        )
    return value


def _dtypes(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",")))
    for name in names:
        if name not in DTYPES:
            raise pytest.UsageError(
                f"--dtype={text}: {name!r} is not a precision that archbench knows. "
                f"Use {', '.join(DTYPES)}"
            )
    return names


def _results(text: str, base: Path) -> Path:
    path = base / text
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a directory" if path.is_dir() else f"{path.parent} does not exist"
        raise pytest.UsageError(
            f"--results={text}: {problem}. Name a file in a directory that exists"
        )
    return path


_SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()


def settings_of(config: pytest.Config) -> Settings:
    """The settings of this run, made once.

    Raises:
        pytest.UsageError: a value that makes no sense; says what to type instead.
    """
    if _SETTINGS in config.stash:
        return config.stash[_SETTINGS]

    def value(name: str) -> Any:
        return getattr(config.option, destination(name), None)

    threads = _whole_numbers("threads", value("threads") or "1")
    if len(threads) > 1:
        raise pytest.UsageError(
            f"--threads={value('threads')}: one number is expected. Run once for each"
        )
    quick = bool(value("quick"))
    if quick and value("time-budget") is not None:
        raise pytest.UsageError(
            "--quick and --time-budget both say how long a cell may take. Give one of them"
        )
    budget = _seconds("time-budget", value("time-budget")) if value("time-budget") else None
    settings = Settings(
        suite=value("suite"),
        models=tuple(value("models") or ()),
        gpu=value("gpu") or "auto",
        dtypes=_dtypes(value("dtype") or "fp32"),
        batch_sizes=_whole_numbers("batch-size", value("batch-size") or "1"),
        threads=threads[0],
        time_budget=budget or (QUICK_TIME_BUDGET if quick else DEFAULT_TIME_BUDGET),
        quick=quick,
        results=_results(value("results"), config.invocation_params.dir)
        if value("results")
        else None,
    )
    config.stash[_SETTINGS] = settings
    return settings
