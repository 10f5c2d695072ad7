"""``archbench init``: what a project of one's own needs, shown and then written."""

from __future__ import annotations

import argparse
import difflib
import importlib.metadata
import importlib.util
import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from archbench.catalog.finding import networks_in
from archbench.cli.architectures import architecture
from archbench.cli.ci_files import CI_FILES, ci_text
from archbench.core.errors import ArchbenchError, ArchitectureError, UsageError
from archbench.models.requiring import require_torch
from archbench.report.streams import foreign_code
from archbench.store.configuration import (
    Configuration,
    added_models,
    read_configuration,
    read_toml,
)
from archbench.store.git import git_text

TRIED = 3
"""Networks that are found and tried until one can be counted."""

SHOWN = 5
"""Of others that are found."""

HOOK = "pytest_archbench_models"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "init",
        help="write what a project of your own needs",
        description="Show and, once that is confirmed, write what a project of your own needs: "
        "its network in the table of pyproject.toml, and a file for CI. A file that exists is "
        "never changed, but for a table at the end of pyproject.toml.",
    )
    parser.add_argument(
        "network",
        nargs="?",
        metavar="NETWORK",
        help="path/to/file.py:constructor, with the size of its images: net.py:MyNet@32 (default: "
        "the likeliest that is found in the project's files)",
    )
    parser.add_argument(
        "--ci",
        choices=(*CI_FILES, "none"),
        help="the system that the file is for (default: by .github, .gitlab-ci.yml and the remote)",
    )
    parser.add_argument("--yes", action="store_true", help="write without a question")
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file to be written.

    Attributes:
        path: of the file.
        text: of the file, or what is added at its end.
        old: what is in it; None where there is none.
    """

    path: Path
    text: str
    old: str | None = None

    def shown(self, root: Path) -> str:
        """As ``diff -u`` has it."""
        place = self.path.relative_to(root).as_posix()
        old = self.old or ""
        lines = difflib.unified_diff(
            old.splitlines(),
            (old + self.text).splitlines(),
            "/dev/null" if self.old is None else place,
            place,
            lineterm="",
        )
        return "\n".join(lines)

    def write(self) -> None:
        """Write it; what has come into being meanwhile is left alone.

        Raises:
            UsageError: it cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open(
                "x" if self.old is None else "a", encoding="utf-8", newline=""
            ) as f:
                f.write(self.text)
        except OSError as error:
            raise UsageError(
                str(self.path),
                f"it cannot be written ({error.strerror})",
                "Make its directory one that this user can write to, and run the command again",
            ) from None


@dataclass(frozen=True, slots=True)
class Project:
    """What is there already.

    Attributes:
        root: the working directory.
        top: of the repository; None where there is none.
        configuration: of the project.
        has_hook: whether ``conftest.py`` lists networks.
    """

    root: Path
    top: Path | None
    configuration: Configuration
    has_hook: bool

    @property
    def is_listed(self) -> bool:
        """Whether a run knows what it is about."""
        return bool(self.configuration.models) or self.has_hook


def run(options: argparse.Namespace) -> int:
    """Show what is lacking, write it if that is wanted, and say what to type next."""
    project = _project(Path.cwd())
    network = options.network
    if not project.is_listed:
        network = _network(options.network, project)
    elif options.network is not None:
        raise UsageError(
            f"archbench init {options.network}",
            "the project has a list of networks, which stays as it is",
            f"Add it there yourself: {_where_listed(project)}",
        )
    ci = options.ci or _guessed_ci(project)
    changes = [
        *([] if project.is_listed else _table(project, network)),
        *_ci_change(project, ci),
    ]
    for change in changes:
        print(f"\n{change.shown(project.top or project.root)}")
    if not changes:
        print(f"Nothing is left to do: the networks are listed by {_where_listed(project)}.")
    elif not (options.yes or _is_confirmed()):
        print("\nNothing was written. With --yes it is.")
        return 0
    for change in changes:
        change.write()
    if changes:
        print(f"\nWritten: {', '.join(_place(change.path, project.root) for change in changes)}.")
    print(_next(project, network))
    return 0


def _project(root: Path) -> Project:
    top = git_text(root, "rev-parse", "--show-toplevel", timeout=10)
    place = None if top is None else Path(top)
    has_project = (root / "pyproject.toml").is_file()
    if place is not None and place != root.resolve() and not has_project:
        raise UsageError(
            "archbench init",
            f"{root} has no pyproject.toml and is no root of a project; its repository is {place}",
            f"Run it there: cd {shlex.quote(str(place))}",
        )
    if place is None:
        print("There is no git repository here. Paired comparisons (--archbench-against) need one.")
    if not has_project:
        print("There is no pyproject.toml, so the table goes into archbench.toml.")
    conftest = root / "conftest.py"
    try:
        has_hook = HOOK in conftest.read_text(encoding="utf-8", errors="replace")
    except OSError:
        has_hook = False
    return Project(root, place, read_configuration(root), has_hook)


def _where_listed(project: Project) -> str:
    if project.configuration.models:
        return f"models in {project.configuration.path}"
    return f"{HOOK} in conftest.py"


# The network.


def _network(asked: str | None, project: Project) -> str:
    """The request for a network that was tried, with the size that it runs with.

    Raises:
        UsageError: it cannot be counted, or there is none.
    """
    if asked is not None:
        return _tried(asked)
    found, needing = networks_in(project.root), networks_in(project.root, needing=True)
    if not found:
        more = f"; these take arguments: {_some(needing)}" if needing else ""
        named = needing[0] if needing else "net.py:MyNet(classes=10)@32"
        raise UsageError(
            "archbench init",
            f"no network was found in the files of {project.root}: a class of nn.Module, or a "
            f"function that returns one, which takes no arguments{more}",
            f"Name one, with its arguments: archbench init {shlex.quote(named)}",
        )
    for request in found[:TRIED]:
        try:
            chosen = _tried(request)
        except UsageError as error:
            print(f"Not {request}: {error.found}.")
            continue
        others = [one for one in found if one != request]
        if others:
            print(f"Found besides: {_some(others)}. For another one: archbench init {others[0]}")
        if needing:
            print(f"These take arguments, which are for you to give: {_some(needing)}.")
        if others or needing:
            print(f"Only {request} is written. Add others to models yourself.")
        return chosen
    raise UsageError(
        "archbench init",
        f"none of the networks that were tried can be counted ({', '.join(found[:TRIED])})",
        "Name one: archbench init path/to/file.py:constructor",
    )


def _some(requests: list[str]) -> str:
    more = f" and {len(requests) - SHOWN} others" if len(requests) > SHOWN else ""
    return f"{', '.join(requests[:SHOWN])}{more}"


def _tried(request: str) -> str:
    """Count a network once, with another size if the usual one is none of its own."""
    require_torch()
    from archbench.measure.complexity import count

    spec = architecture("init", request)
    print(f"Counting {request} once.", flush=True)
    try:
        try:
            with foreign_code():
                counted = count(spec, second_opinion=False)
        except ArchitectureError as error:
            if error.works_with is None:
                raise
            usual, request = request, f"{request}@{error.works_with}"
            print(
                f"It does not run with images of 224 x 224 in three colours, and does with "
                f"@{error.works_with}, which was tried. If it is made for other ones, say so: "
                f"archbench init {shlex.quote(f'{usual}@96')}, or @1x96x64 for one channel."
            )
            with foreign_code():
                counted = count(architecture("init", request), second_opinion=False)
    except ArchbenchError as error:
        raise UsageError(
            f"archbench init {request}",
            f"it cannot be counted: {error}",
            "Name a function or a class that makes a classifier, with the size of its images: "
            "archbench init net.py:MyNet@32",
        ) from None
    shape = "x".join(map(str, counted.input_shape[1:]))
    print(f"{request}: {counted.params:,} params, {counted.macs:,} MACs for an image of {shape}.")
    return request


# What is written.


def _table(project: Project, network: str) -> list[FileChange]:
    """The table, as the end of a file.

    Raises:
        UsageError: the file has one, so that nothing at its end says it.
    """
    own, path = project.root / "archbench.toml", project.root / "pyproject.toml"
    line = f"models = [{json.dumps(network, ensure_ascii=False)}]"
    if own.exists() or not path.exists():
        old = own.read_bytes().decode("utf-8") if own.exists() else None
        added = None if old and old.strip() else f"{line}\n"
        path = own
    else:
        old = path.read_bytes().decode("utf-8")
        added = added_models(old, [network])
    if added is None:
        place = "[tool.archbench]" if path != own else "its top"
        raise UsageError(
            str(path),
            "it has rules of archbench already, and what is there stays as it is",
            f"Add this line to {place}, and run the command again: {line}",
        )
    return [FileChange(path, added, old)]


def _guessed_ci(project: Project) -> str:
    root = project.top or project.root
    remote = git_text(root, "remote", "get-url", "origin", timeout=10) or ""
    for system, place in (("github", ".github"), ("gitlab", CI_FILES["gitlab"])):
        if (root / place).exists():
            return system
    return next((system for system in CI_FILES if system in remote), "none")


def _ci_change(project: Project, system: str) -> list[FileChange]:
    if system == "none":
        print("No file for CI: --ci=github or --ci=gitlab writes one.")
        return []
    path = (project.top or project.root) / CI_FILES[system]
    packages = [_distribution()]
    if (project.root / "requirements.txt").is_file():
        packages.append("-r requirements.txt")
    table = read_toml(project.root / "pyproject.toml")
    stated = table.get("project")
    depends = isinstance(stated, dict) and stated.keys() & {"dependencies", "dynamic"}
    if depends or "build-system" in table or (project.root / "setup.py").is_file():
        packages.append(".")
    text = ci_text(system, " ".join(packages))
    if project.top is not None and project.top != project.root.resolve():
        below = project.root.resolve().relative_to(project.top)
        print(
            f"{CI_FILES[system]} stands at the top of the repository, {project.top}, and this is a "
            f"directory below: it is not written. This, with its commands run in {below}, is what "
            f"it needs:\n\n{text}"
        )
        return []
    if not path.exists():
        return [FileChange(path, text)]
    if "archbench" not in path.read_text(encoding="utf-8", errors="replace"):
        print(f"{CI_FILES[system]} is there and stays as it is. This is what it lacks:\n\n{text}")
    return []


def _distribution() -> str:
    """The one of the two distributions that is installed."""
    core = "pytest-archbench-core"
    try:
        importlib.metadata.version("pytest-archbench")
    except importlib.metadata.PackageNotFoundError:
        if any(importlib.metadata.distributions(name=core)):
            return core
    return "pytest-archbench"


# What is said.


def _is_confirmed() -> bool:
    if not sys.stdin.isatty():
        return False
    try:
        return input("\nWrite this? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _place(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root.resolve())).as_posix()


def _next(project: Project, network: str | None) -> str:
    """The commands that follow."""
    root = project.root
    tables = (root / "pyproject.toml", root / "archbench.toml")
    workflows = ((project.top or root) / place for place in CI_FILES.values())
    files = [_place(path, root) for path in (*tables, *workflows) if path.is_file()]
    if network is not None:
        file = network.partition(":")[0].rpartition("=")[2]
        files += [file] if file.endswith(".py") else []
    has_commit = git_text(project.root, "rev-parse", "HEAD", timeout=10) is not None
    words = (
        ["git", "add", *dict.fromkeys(files), "baselines"] if has_commit else ["git", "add", "."]
    )
    start = "" if project.top is not None else "git init && "
    commit = f'{start}{shlex.join(words)} && git commit -m "Benchmark the network"'
    suite = "pytest --pyargs archbench.benchmarks"
    lines = [
        "",
        "Next, count it and time it; accept the counts, which are exact; commit:",
        f"  {suite}",
        f"  {suite}.test_complexity --archbench-baseline-update=new",
        f"  {commit}",
        "",
        "From then on, what a change costs, side by side with the last commit:",
        f"  {suite} --archbench-against=HEAD",
    ]
    if importlib.util.find_spec("archbench.benchmarks") is None:
        lines += [
            "",
            "This archbench is installed editable, and has its suite in its checkout only: install "
            "it as a package for these commands.",
        ]
    return "\n".join(lines)
