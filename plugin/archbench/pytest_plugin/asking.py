"""Asking hosts what they have, before anything is measured there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import execnet
import pytest

import archbench
from archbench.core.errors import UsageError, first_line, some
from archbench.core.forms import Stored
from archbench.core.headers import Sharing
from archbench.measure.environment import package_versions
from archbench.pytest_plugin import on_host
from archbench.pytest_plugin.hosts import Host
from archbench.pytest_plugin.settings import settings_of
from archbench.workers import contact

_PATIENCE = 600.0
"""Seconds in which a host has to say what it has, for which it may import torch."""

_OURS = ("pytest-archbench", "pytest-archbench-core")

GONE = (OSError, EOFError, execnet.RemoteError, KeyError)
"""What a connection raises that is gone, or answers nothing in time."""


@dataclass(frozen=True, slots=True)
class Answer(Stored):
    """What a host says of itself.

    Attributes:
        sources: a digest of each file of its project.
        directory: in which its runs are kept.
        devices: those of the request that it has.
        absent: why it has not the others.
        sharing: who else uses them.
        refused: why nothing can be measured there.
    """

    sources: dict[str, str]
    directory: str = ""
    devices: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    sharing: Sharing = field(default_factory=Sharing)
    refused: str = ""


def ask(config: pytest.Config, hosts: Sequence[Host]) -> list[tuple[Host, Answer]]:
    """What each host says, and the host itself with its directory and interpreter.

    Raises:
        pytest.UsageError: some must not measure, or cannot be reached; says which and why.
    """
    capture = config.pluginmanager.get_plugin("capturemanager")
    # What ssh says of a host is not to be lost.
    shown = capture.global_and_fixture_disabled() if capture else nullcontext()
    with shown, ThreadPoolExecutor(len(hosts)) as pool:
        found = list(pool.map(lambda host: _ask(config, host), hosts))
    refused = [str(one) for one in found if isinstance(one, UsageError)]
    if refused:
        raise pytest.UsageError("\n".join(refused))
    return [one for one in found if not isinstance(one, UsageError)]


def _ask(config: pytest.Config, host: Host) -> tuple[Host, Answer] | UsageError:
    """What a host says, and itself with its directory; why it cannot measure."""
    group = execnet.Group()
    asked, todo = f"host {host.name}", f"Try it by hand: ssh {host.ssh}"
    try:
        return _asked(config, host, group.makegateway(host.connection).remote_exec(contact), asked)
    except UsageError as error:
        return error
    except execnet.HostNotFound:
        found = f"ssh does not reach {host.ssh!r}; what ssh said is above"
        return UsageError(asked, found, todo)
    except GONE as error:
        found = f"{host.python} did not answer there ({first_line(error)})"
        return UsageError(asked, found, todo)
    finally:
        group.terminate(5.0)


def _asked(config: pytest.Config, host: Host, channel: Any, asked: str) -> tuple[Host, Answer]:
    names = [*_OURS, *package_versions()]
    root = str(config.rootpath)
    channel.send((names, host.directory or root))
    directory, python, there = channel.receive(_PATIENCE)
    _refuse_versions(asked, contact.versions(names), there)
    if not directory:
        raise UsageError(
            asked, f"it has no directory {host.directory or root}",
            "Check the project out there, or say where it is",
        )  # fmt: skip
    here = config.invocation_params.dir
    below = here.relative_to(root).as_posix() if here.is_relative_to(root) else "."
    host = replace(host, directory=directory, below=below, python=python)
    arguments = on_host.mapped(list(map(str, config.invocation_params.args)), root, directory)
    more = [host.name, list(host.devices), host.workers]
    channel.send((arguments, host.cwd, more))
    text, said = channel.receive(_PATIENCE)
    if not text:
        raise UsageError(asked, f"pytest does not start there: {said}", f"Try it in {host.cwd}")
    answer = Answer.from_dict(json.loads(text))
    if answer.refused:
        raise UsageError(asked, answer.refused, "Mend it there, or leave the host out")
    _refuse_sources(config, asked, answer.sources)
    return host, answer


def _refuse_sources(config: pytest.Config, asked: str, there: Mapping[str, str]) -> None:
    own, root = settings_of(config).hosts, config.rootpath
    here = on_host.sources_in(root)
    names = sorted(
        name for name in {*here, *there} if here.get(name) != there.get(name) and root / name != own
    )
    if names:
        raise UsageError(
            asked, f"its project is another one: {some(names)} differ{'s' * (len(names) == 1)}",
            "Check the same revision out on each host, with the same changes",
        )  # fmt: skip


def _refuse_versions(asked: str, here: dict[str, str], there: dict[str, str]) -> None:
    for versions in (here, there):
        ours = [versions.pop(name) for name in _OURS if name in versions]
        versions |= {"archbench": ours[0]} if ours else {}
    here.setdefault("archbench", archbench.__version__)
    if "archbench" not in there:
        raise UsageError(
            asked, "archbench is not installed in the environment of its Python",
            f"Install pytest-archbench {here['archbench']} there, or name another python",
        )  # fmt: skip
    others = [
        f"{name} {there.get(name, 'absent')} there and {here[name]} here"
        for name in here
        if there.get(name) != here[name]
    ]
    if others:
        raise UsageError(asked, f"it has {', '.join(others)}", "Install the same versions")
