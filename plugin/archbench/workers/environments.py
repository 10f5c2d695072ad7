"""Other interpreters, and packages laid over an environment: where the reference's code is from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict, cast

from archbench.core.errors import UsageError

NEEDED = {
    "pytest": "pytest",
    "torch": "torch",
    "numpy": "numpy",
    "psutil": "psutil",
}
"""Modules that a side needs beside archbench itself, with the name to install each by."""

_PROBE = """
import importlib.util, json, sys
modules, overlay = json.loads(sys.argv[1]), sys.argv[2]
missing = [name for name in modules if importlib.util.find_spec(name) is None]
answer = {"python": list(sys.version_info[:3]), "prefix": sys.prefix, "missing": missing}
if overlay:
    import importlib.metadata as metadata, re
    from packaging.requirements import Requirement
    sys.path.insert(0, overlay)
    laid = list(metadata.distributions(path=[overlay]))
    answer["packages"] = {d.metadata["Name"]: d.version for d in laid}
    answer["unmet"] = []
    for dist in laid:
        for text in dist.requires or ():
            wanted = Requirement(text)
            if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
                continue
            try:
                found = metadata.version(wanted.name)
            except metadata.PackageNotFoundError:
                found = None
            if found is None or not wanted.specifier.contains(found, prereleases=True):
                answer["unmet"].append([dist.metadata["Name"], str(wanted), found])
print("archbench:" + json.dumps(answer))
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


class Probed(TypedDict, total=False):
    """What an interpreter says; of the last two only with an overlay.

    Attributes:
        python: its version.
        prefix: of its environment.
        missing: names of needed packages.
        packages: those of the overlay, with their versions.
        unmet: package of the overlay, its requirement, and the version that is there or None.
    """

    python: list[int]
    prefix: str
    missing: list[str]
    packages: dict[str, str]
    unmet: list[tuple[str, str, str | None]]


def probe(executable: str, asked: str, overlay_path: str = "", run: Run = subprocess.run) -> Probed:
    """What an interpreter is, and what it lacks.

    Args:
        executable: of the interpreter.
        overlay_path: packages that are laid over it, whose own requirements are checked.

    Raises:
        UsageError: it is no interpreter that works.
    """
    try:
        done = run(
            [executable, "-c", _PROBE, json.dumps(list(NEEDED)), overlay_path],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(
            asked, f"{executable} cannot be run ({error})", "Name a Python interpreter"
        ) from None
    answers = [line for line in done.stdout.splitlines() if line.startswith("archbench:")]
    if done.returncode or not answers:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode}"]
        raise UsageError(
            asked, f"{executable} is no Python that works: {lines[-1]}", "Name a Python interpreter"
        )
    return cast("Probed", json.loads(answers[-1].removeprefix("archbench:")))


def interpreter(text: str, directory: Path, asked: str, run: Run = subprocess.run) -> str:
    """The interpreter that a path names: an executable, or the directory of an environment.

    Args:
        directory: that a relative one starts from.

    Raises:
        UsageError: there is none, it is older than Python 3.10, or it lacks what a side needs:
            says what, and how to install it.
    """
    path = directory / Path(text).expanduser()
    if path.is_dir():
        inside = [path / "bin" / "python", path / "Scripts" / "python.exe"]
        path = next((one for one in inside if one.exists()), path)
    found = str(path) if path.exists() else shutil.which(text)
    if found is None or Path(found).is_dir():
        raise UsageError(
            asked,
            f"there is no Python interpreter at {path}",
            "Name one: --against=python:/path/to/venv/bin/python",
        )
    answer = probe(found, asked, run=run)
    if answer["python"] < [3, 10]:
        version = ".".join(map(str, answer["python"]))
        raise UsageError(asked, f"it is Python {version}", "Name one of Python 3.10 or newer")
    needed = [NEEDED[name] for name in answer["missing"]]
    if answer["python"] < [3, 11]:
        needed += [] if _has(found, "tomli", run) else ["tomli"]
    if needed:
        raise UsageError(
            asked,
            f"its environment, {answer['prefix']}, has no {', no '.join(needed)}",
            f"Install what is missing: {found} -m pip install {' '.join(needed)}",
        )
    return found


def _has(executable: str, module: str, run: Run) -> bool:
    done = run([executable, "-c", f"import {module}"], capture_output=True, text=True, check=False)
    return done.returncode == 0


def overlay(
    requirements: Sequence[str],
    directory: Path,
    asked: str,
    executable: str = sys.executable,
    run: Run = subprocess.run,
    show: Callable[[str], object] = lambda _: None,
) -> tuple[Path, dict[str, str]]:
    """Packages installed into a directory of their own, to be put before the environment's.

    What they require in turn is the environment's, and is not installed: a torch that is there is
    there for both sides. Installed once for each set of requirements and interpreter.

    Args:
        requirements: in pip's own form.
        directory: that holds the overlays.
        executable: of the environment that they are laid over.
        show: given a line while pip is at work.

    Returns:
        The directory, and the version of each package in it.

    Raises:
        UsageError: pip cannot install them, or the environment has not what they require.
    """
    identity = "\n".join([*sorted(requirements), os.path.realpath(executable), sys.version])
    place = directory / f"pip-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    if not place.is_dir():
        show(f"installing {' '.join(requirements)} with pip, beside the environment ...")
        _install(requirements, place, asked, executable, run)
    answer = probe(executable, asked, str(place), run)
    if answer["unmet"]:
        raise _unmet(answer["unmet"], requirements, asked)
    return place, dict(answer["packages"])


def _unmet(
    unmet: Sequence[tuple[str, str, str | None]], requirements: Sequence[str], asked: str
) -> UsageError:
    which = "; ".join(
        f"{package} requires {wanted}, {'found ' + found if found else 'which is not there'}"
        for package, wanted, found in unmet
    )
    more = " ".join([*requirements, *(f"'{wanted}'" for _, wanted, _ in unmet)])
    return UsageError(
        asked,
        f"this environment does not fit: {which}",
        f'Name what it needs as well: --against="pip:{more}"',
    )


def _install(
    requirements: Sequence[str], place: Path, asked: str, executable: str, run: Run
) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
    try:
        done = run(
            [
                *(executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                *("--no-deps", "--no-input", "--target", str(temporary)),
                *requirements,
            ],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            lines = lines or done.stderr.strip().splitlines() or [f"status {done.returncode}"]
            raise UsageError(
                asked,
                f"pip could not install it: {' '.join(lines[-3:])}",
                "Correct the requirement, or see what pip needs",
            )
        # Another run may have been faster; its overlay is as good.
        if not place.is_dir():
            temporary.rename(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
