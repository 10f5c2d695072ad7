"""The part of a run on several hosts that is done on each of them, see
:mod:`archbench.pytest_plugin.hosts`: answering what is there, and being a worker of pytest-xdist.

execnet sends the source of this module to start a worker by.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from archbench.core.errors import UsageError
from archbench.core.forms import Json
from archbench.core.run_config import RunConfig
from archbench.pytest_plugin.options import destination
from archbench.pytest_plugin.refusing import is_simple, look_for_others
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.targets import target_for
from archbench.store.atomic import regular
from archbench.store.git import git
from archbench.workers.contact import VARIABLE
from archbench.workers.orders import OF_THE_REPORTER

PATTERNS = ("*.py", "*.toml", "*.ini", "*.cfg", "*.jsonl")
"""Files that say what is measured, how, and what was accepted."""


def sources_in(root: Path) -> dict[str, str]:
    """A digest of each file of a project that figures and verdicts may depend on: what git knows
    and does not ignore, else what is in no hidden directory and no virtual environment."""
    listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PATTERNS)
    if listed.output is not None:
        paths = [root / os.fsdecode(name) for name in listed.output.split(b"\0") if name]
    else:
        environments = {path.parent for path in root.rglob("pyvenv.cfg")}
        paths = [
            path
            for pattern in PATTERNS
            for path in root.rglob(pattern)
            if not any(part.startswith(".") for part in path.relative_to(root).parts)
            and environments.isdisjoint(path.parents)
        ]
    found = {}
    for path in sorted(paths):
        try:
            digest = hashlib.sha256(regular(path).read_bytes()).hexdigest()[:16]
        except OSError:
            continue
        found[path.relative_to(root).as_posix()] = digest
    return found


def mapped(arguments: Sequence[str], here: str, there: str) -> list[str]:
    """Arguments in which the project's directory is the one of another host."""
    start = re.compile(rf"(^|=){re.escape(here)}(?=$|/)")
    return [start.sub(lambda match: match[1] + there, one) for one in arguments]


def leave_out(config: pytest.Config) -> None:
    """Forget options that are about the process that speaks to the person, and about its machine:
    where that one keeps its runs is no directory of this host."""
    for name in (*OF_THE_REPORTER, "directory", "hosts"):
        setattr(config.option, destination(name), None)


class _Answering:
    """The plugin of the process that says what is there, in place of a run."""

    def __init__(self, path: Path, devices: Sequence[str], workers: int) -> None:
        self._path = path
        self._declared = devices
        self._workers = workers

    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        """Answer, and end."""
        answer: dict[str, Json] = {"sources": sources_in(config.rootpath)}
        try:
            answer |= self._devices(config)
            answer["directory"] = str(settings_of(config).directory)
        except (UsageError, pytest.UsageError) as error:
            answer["refused"] = str(error)
        self._path.write_text(json.dumps(answer), encoding="utf-8")
        return 0

    def _devices(self, config: pytest.Config) -> dict[str, Json]:
        """Which of the devices that are asked for are here, why others are not, and who uses
        them."""
        settings, declared = settings_of(config), self._declared
        asked = settings.gpu.split(",")
        if is_simple(config) and not declared:
            return {"devices": asked, "absent": {}, **self._sharing(config, settings.gpu)}
        try:
            for kind in declared:
                target_for(config, RunConfig(asked=kind))
        except UsageError as error:
            text = f"it is to be used for {', '.join(declared)}: {error.found}"
            return {"refused": text}
        devices, absent = [], {}
        for one in asked:
            try:
                targets = [
                    target_for(config, each) for each in settings.configs if each.asked in ("", one)
                ]
            except UsageError as error:
                absent[one] = str(error)
                continue
            kind = targets[0].device.partition(":")[0]
            if declared and kind not in declared:
                absent[one] = f"--gpu={one}: it is of the kind {kind}, for which it is not used"
            else:
                devices.append(one)
        sharing = self._sharing(config, ",".join(devices)) if devices else {}
        return {"devices": devices, "absent": absent, **sharing}

    def _sharing(self, config: pytest.Config, gpu: str) -> dict[str, Json]:
        found = look_for_others(config, gpu, self._workers)
        return {} if found is None else {"sharing": found.as_dict()}


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Become a worker that answers, before the options are read."""
    path, (host, devices, workers) = json.loads(os.environ.pop(VARIABLE))
    early_config.workerinput = {  # type: ignore[attr-defined]
        "workerid": "gw0", "testrunuid": "", "archbench_host": host
    }  # fmt: skip
    early_config.pluginmanager.register(_Answering(Path(path), devices, workers))


def work(channel: Any) -> None:
    """Be a worker of pytest-xdist, with this host's own paths for those of the controller."""
    found = find_spec("xdist")  # pytest is to import it
    assert found is not None
    source = Path(str(found.origin)).with_name("remote.py")
    given, arguments, _, _ = channel.receive()
    arguments = mapped(arguments, *given["archbench_roots"])
    channel.receive = lambda: (given, arguments, {}, list(sys.path))
    code = compile(source.read_text(encoding="utf-8"), str(source), "exec")
    exec(code, {"__name__": "__channelexec__", "channel": channel})


if __name__ == "__channelexec__":
    work(channel)  # type: ignore[name-defined] # noqa: F821
