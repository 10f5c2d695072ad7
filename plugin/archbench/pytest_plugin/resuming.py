"""``--resume``: a run that did not reach its end goes on where it was.

What pytest's reports of a test said is in the journal; they are reported again in the place of a
test that has ended, so that verdicts, table, results file, baselines and exit status are those of a
run that nothing has interrupted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from archbench.core.errors import ArchbenchError, some
from archbench.core.headers import OF_ACCEPTING, OF_THE_MOMENT, UNCOMMITTED, RunHeader
from archbench.core.spec import OwnSource
from archbench.measure.environment import describe_environment
from archbench.pytest_plugin.evaluations import IMAGES
from archbench.pytest_plugin.options import is_child, is_worker, refusing
from archbench.pytest_plugin.selection import selected_models
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.sharding import identity_of, whole_of
from archbench.pytest_plugin.shared import leave_fixtures
from archbench.store.atomic import regular
from archbench.store.git import git_text
from archbench.store.journal import SCHEMA, Kept, Report, journals, named_so, read_kept

_CODE = ("*.py", "*.toml", "*.ini", "*.cfg", "*.jsonl")
"""Files whose uncommitted changes say which code and which baselines a run is of."""


class Resumption:
    """What a run that goes on has of before.

    Args:
        kept: what its journal holds.
        asked: what was typed.

    Attributes:
        changed: what figures depend on and has changed since, where all of them are of before.
    """

    def __init__(self, kept: Kept, asked: str) -> None:
        self.kept = kept
        self.changed: list[str] = []
        self.path = kept.run.path
        self.name = f"--resume={self.path.parent.name}"
        self.asked = asked

    def refuse_others(self, header: RunHeader, nodeids: Sequence[str]) -> None:
        """See that everything is as it was; where nothing is left to measure, that the same was
        asked for: a run that has accepted what it measured has changed its baselines.

        Args:
            header: of this run, as it would stand in a journal of its own.
            nodeids: the tests of this run.

        Raises:
            pytest.UsageError: something is not; says what.
        """
        before, stated = self.kept.run.header, dict(header)
        if before.get("schema") != SCHEMA:
            raise pytest.UsageError(
                f"{self.name}: its journal has schema {before.get('schema')}, which holds too "
                "little to go on with. Start a new run: leave --resume out"
            )
        is_done = all(nodeid in self.kept.tests for nodeid in nodeids)
        for part in ("settings", "tests", *_FIGURES):
            for name, then, now in differences(before.get(part), stated[part]):
                if is_done and part in _FIGURES:
                    self.changed += [name] * (not name.startswith(OF_ACCEPTING))
                    continue
                raise pytest.UsageError(
                    f"{self.name}: {part}.{name} was {_shown(then)} and is {_shown(now)} now, so "
                    "that its figures and new ones would not be of one run. "
                    + _REMEDIES.get(part, "Start a new run: leave --resume out")
                )


_FIGURES = ("environment", "sources")
"""Parts of a header that figures depend on."""

_REMEDIES = {
    "settings": "Give the options that it was given, or start a new run: leave --resume out",
    "tests": "Select the tests that it selected, or start a new run: leave --resume out",
}


def _shown(value: object) -> str:
    return "absent" if value is None else repr(value)


def differences(then: object, now: object, name: str = "") -> Iterator[tuple[str, object, object]]:
    """The fields in which two tables differ, in builtin types: name, value then and value now."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in (*now, *(key for key in then if key not in now)):
            if name or key not in OF_THE_MOMENT:
                inner = f"{name}.{key}" if name else str(key)
                yield from differences(then.get(key), now.get(key), inner)
    elif then != now:
        yield name, then, now


_RESUMPTION: pytest.StashKey[Resumption | None] = pytest.StashKey()


def resumption_of(config: pytest.Config) -> Resumption | None:
    """What this run goes on with, read once; None where it begins anew.

    Raises:
        pytest.UsageError: there is no such run, or nothing of it can be read.
    """
    if _RESUMPTION not in config.stash:
        asked = settings_of(config).resume
        found = None
        if asked is not None and not (is_child(config) or is_worker(config)):
            with refusing(config):
                found = _found(settings_of(config).directory / "runs", asked)
        config.stash[_RESUMPTION] = found
    return config.stash[_RESUMPTION]


def _found(runs: Path, asked: str) -> Resumption:
    stored = journals(runs)
    names = [path.parent.name for path in stored]
    if not stored:
        raise pytest.UsageError(
            f"--resume={asked}: no run is stored in {runs}. Start one: leave --resume out"
        )
    matching = stored[-1:] if asked == "latest" else named_so(stored, asked)
    if len(matching) != 1:
        what = f"{len(matching)} runs begin so" if matching else "there is no such run"
        raise pytest.UsageError(
            f"--resume={asked}: {what}. The last ones are {', '.join(names[-3:])}"
        )
    (path,) = matching
    try:
        kept = read_kept(path)
        if asked == "latest" and kept.run.is_complete:
            raise pytest.UsageError(
                f"--resume: the last run, {names[-1]}, has measured all that it was asked for, so "
                "that there is nothing to go on with. Leave --resume out, or name a run: "
                "--resume=RUN"
            )
        return Resumption(kept, asked)
    except (ArchbenchError, OSError) as error:
        raise pytest.UsageError(f"--resume={asked}: {error}") from None


def done_tests(config: pytest.Config) -> frozenset[str]:
    """The tests that have ended in the run that this one goes on with."""
    if is_worker(config):
        return frozenset(config.workerinput.get("archbench_done", ()))  # type: ignore[attr-defined]
    resumption = resumption_of(config)
    return frozenset(resumption.kept.tests if resumption is not None else ())


def report_again(config: pytest.Config, test: str) -> None:
    """Report a test that has ended as if it had run."""
    resumption = resumption_of(config)
    assert resumption is not None
    reports = [report_of(config, data) for data in resumption.kept.tests[test]]
    where = {"nodeid": test, "location": reports[0].location if reports else (test, None, test)}
    config.hook.pytest_runtest_logstart(**where)
    for report in reports:
        config.hook.pytest_runtest_logreport(report=report)
    config.hook.pytest_runtest_logfinish(**where)


def report_of(config: pytest.Config, data: Report) -> pytest.TestReport:
    """A report from its form in JSON, which has no tuples."""
    if isinstance(data["longrepr"], list):  # a skip's
        data["longrepr"] = tuple(data["longrepr"])
    report: pytest.TestReport = config.hook.pytest_report_from_serializable(
        config=config, data=data
    )
    return report


class Done:
    """The plugin that leaves out tests that have ended: their reports are reported again by the
    process that speaks to the person."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> bool | None:
        """Run nothing for them."""
        if item.nodeid not in done_tests(self._config):
            return None
        if not is_worker(self._config):
            report_again(self._config, item.nodeid)
        leave_fixtures(item, nextitem)
        return True


def header_of(config: pytest.Config) -> RunHeader:
    """What a run is of: its machine, versions and settings."""
    return {
        "environment": describe_environment(config.rootpath),
        "settings": settings_of(config).as_dict(),
    }


def what_of(config: pytest.Config, nodeids: Sequence[str]) -> RunHeader:
    """Which code, baselines and tests a run is of, and of which selection where it is a shard."""
    whole = whole_of(config)
    return {
        "sources": sources_of(config, nodeids),
        "tests": identity_of(nodeids),
        **({} if whole is None else {"whole": whole}),
    }


def sources_of(config: pytest.Config, nodeids: Iterable[str]) -> dict[str, str]:
    """A digest of each file that the tests, a person's own networks, weights, the project's
    configuration and its baselines are in, of the images, and of what is not committed of the
    rest."""
    root, settings = config.rootpath, settings_of(config)
    files = {root / nodeid.partition("::")[0] for nodeid in nodeids}
    files |= {
        above / "conftest.py"
        for file in files
        for above in file.parents
        if above.is_relative_to(root)
    }
    for spec in selected_models(config):
        if isinstance(spec.constructor, OwnSource):
            files |= _files_of(spec.constructor, root)
    files |= {root / "pyproject.toml", root / "archbench.toml", *filter(None, [config.inipath])}
    files |= set((root / "baselines").rglob("*.jsonl"))
    if settings.weights is not None and Path(settings.weights).is_file():
        files.add(Path(settings.weights))
    found = {
        path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path): digest
        for path in sorted(files)
        if (digest := _digest(path)) is not None
    }
    if IMAGES in config.stash:
        found["images"] = config.stash[IMAGES][0].digest[:16]
    changes = git_text(root, "diff", "HEAD", "--no-color", "--no-ext-diff", "--", *_CODE)
    if changes:
        found[UNCOMMITTED] = hashlib.sha256(changes.encode()).hexdigest()[:16]
    return found


def _files_of(source: OwnSource, root: Path) -> set[Path]:
    """Where a network's module can be; those that are not there are no harm."""
    if source.is_file:
        return {Path(source.place)}
    inside = [place.joinpath(*source.place.split(".")) for place in (root, root / "src")]
    return {file for one in inside for file in (one.with_suffix(".py"), one / "__init__.py")}


def _digest(path: Path) -> str | None:
    digest = hashlib.sha256()
    try:
        with regular(path).open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    except OSError:
        return None
    return digest.hexdigest()[:16]


def going_on(resumption: Resumption, expected: Sequence[str], cut: int) -> str:
    """What is said of a run that goes on."""
    done = sum(test in resumption.kept.tests for test in expected)
    name = resumption.path.parent.name
    text = f"Going on with {name}: {done} of {len(expected)} tests were done"
    kept = resumption.kept
    runs = sum(map(len, kept.process_runs.values())) + len(kept.pairs)
    if runs:
        text += f", and {runs} measurements in processes of their own are kept"
    if cut:
        text += f". Its last line was torn, and its {cut:,} bytes were cut off"
    damaged = len(resumption.kept.run.damaged) - bool(cut)
    if damaged > 0:
        number, cause = resumption.kept.run.damaged[0]
        text += f". {damaged} damaged lines were left out, line {number} among them ({cause})"
    if resumption.changed:
        changed = some(resumption.changed)
        text += f". Nothing is measured again, though since then changed: {changed}"
    return f"{text}."
