"""Runs on several hosts: ``--hosts=hosts.toml``, or pytest-xdist's own ``--tx ssh=HOST``.

Each host gets one connection of ssh, by execnet: a proxy gateway. The workers of pytest-xdist are
processes that it starts there (``popen//via=``). In this way xdist copies no files to the host,
which is about to lose that feature, and a host that is lost is told from a worker that died.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from archbench.core.errors import UsageError
from archbench.core.forms import value_of
from archbench.store.configuration import read_toml

PLUGIN = "archbench-hosts"

_KEYS = ("ssh", "python", "directory", "devices", "workers", "ssh_config")

_SSH = (
    "-o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=20 -o ServerAliveInterval=15"
)
"""Nobody is there to answer ssh, a host whose key is not known is refused, and one that is silent
for 45 s is lost."""


@dataclass(frozen=True, slots=True)
class Host:
    """A host that measures.

    Attributes:
        name: that it has in messages.
        ssh: what ssh is given: a host, ``user@host`` or a name in its configuration.
        python: of the environment in which pytest runs there.
        directory: of the project there.
        devices: kinds that it is used for; empty for whatever it has.
        workers: of pytest-xdist.
        ssh_config: a file that ssh is given by ``-F``.
        more: further parts of an xspec of execnet, as ``env:NAME=value``.
        below: where in the project the command was given.
    """

    name: str
    ssh: str
    python: str = "python"
    directory: str = ""
    devices: tuple[str, ...] = ()
    workers: int = 1
    ssh_config: str | None = None
    more: tuple[str, ...] = ()
    below: str = "."

    @property
    def id(self) -> str:
        """Of the connection."""
        return f"host-{self.name}"

    @property
    def cwd(self) -> str:
        """Where pytest runs."""
        return f"{self.directory}/{self.below}"

    @property
    def quoted_python(self) -> str:
        """For a shell, which knows what the home directory is."""
        home = "~/" if self.python.startswith("~/") else ""
        return home + shlex.quote(self.python.removeprefix(home))

    @property
    def connection(self) -> str:
        """The xspec of a proxy, without a directory."""
        config = () if self.ssh_config is None else (f"ssh_config={self.ssh_config}",)
        parts = (f"ssh={_SSH} {self.ssh}", f"python={self.quoted_python}", "execmodel=thread")
        return "//".join((*parts, *config, *self.more))

    @property
    def proxy(self) -> str:
        """The same, in its directory."""
        return f"{self.connection}//chdir={self.cwd}//id={self.id}"

    @property
    def worker(self) -> str:
        """The xspec of a worker."""
        return f"popen//python={self.quoted_python}//via={self.id}"


_A_TABLE = (
    "Write a table for each host: [hosts.box1], with ssh = 'USER@HOST', python = 'PATH' and "
    "directory = 'PATH' of the project below it"
)


def read_hosts(path: Path) -> tuple[Host, ...]:
    """The hosts of a file.

    Raises:
        UsageError: it is no such file.
    """
    asked = f"--hosts={path}"
    if not path.exists():
        raise UsageError(asked, "there is no such file", _A_TABLE)
    content = read_toml(path)
    unknown = sorted(content.keys() - {"hosts"})
    if unknown:
        raise UsageError(f"{path}: {unknown[0]}", "there is no such key", _A_TABLE)
    tables = content.get("hosts")
    if not isinstance(tables, dict) or not tables:
        raise UsageError(asked, "it names no hosts", _A_TABLE)
    return tuple(_host(path, name, table) for name, table in tables.items())


def _host(path: Path, name: str, table: object) -> Host:
    place = f"{path}: hosts.{name}"
    if not isinstance(table, dict):
        raise UsageError(
            place,
            f"it is {table!r}, and a host is a table",
            f"Write [hosts.{name}] in its place and below it what holds of: {', '.join(_KEYS)}",
        )
    unknown = sorted(table.keys() - set(_KEYS))
    if unknown:
        raise UsageError(
            f"{place}.{unknown[0]}", "a host has no such key", f"Use {', '.join(_KEYS)}"
        )
    try:
        host = value_of(Host, {"ssh": name, **table, "name": name})
    except ValueError as error:
        raise UsageError(place, str(error), "Correct it there") from None
    if host.workers < 1:
        raise UsageError(f"{place}.workers", f"{host.workers} is below 1", "Leave the host out")
    if not re.fullmatch(r"[^\s/]+", name):
        raise UsageError(place, "it is no name of a table", "Name it without blanks and slashes")
    if not re.fullmatch(r"[^\s/-][^\s/]*", host.ssh):
        raise UsageError(
            place, f"{host.ssh!r} is no name of a host",
            "Write ssh = HOST, USER@HOST or a name of ssh's configuration, where a port can stand",
        )  # fmt: skip
    if host.ssh_config is not None:
        given = str(path.parent / Path(host.ssh_config).expanduser())
        host = replace(host, ssh_config=given)
    for key in ("python", "directory", "ssh_config"):
        if re.search(r"//|\n", getattr(host, key) or ""):
            raise UsageError(f"{place}.{key}", "execnet takes no path with //", "Write one /")
    return host


def hosts_of(config: pytest.Config) -> Any:
    """What distributes the tests of this run to hosts; None where they run on this machine."""
    return config.pluginmanager.get_plugin(PLUGIN)
