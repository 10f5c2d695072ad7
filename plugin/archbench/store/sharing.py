"""Runs of a team in a shared store.

::

    archbench-store-1                                  what makes the place a store
    runs/ENVIRONMENT/RUN.DIGEST.tar.gz                 journal and outcomes; DIGEST is the tar's
    summaries/VERSION/ENVIRONMENT/RUN.DIGEST.OWN.json  figures of that run, derived; OWN is its own
    baselines/PATH/TIME.DIGEST.jsonl                   a file of baselines as it was then

All digests are SHA-256, and a reader compares each: what was written by half is named and left out.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from archbench.core.errors import UsageError
from archbench.core.headers import OF_THE_MOMENT, RunHeader
from archbench.store.atomic import regular
from archbench.store.directory import make_directory, own_directory
from archbench.store.journal import read_run
from archbench.store.objects import Objects
from archbench.store.summaries import VERSION, Summary, read_summary, summary_of

_SUMMARIES = f"summaries/{VERSION}"
_NAME = r"(?P<environment>[0-9a-f]{16})/(?P<run>\w[\w.+-]*?)\.(?P<digest>[0-9a-f]{64})"
_RUN = re.compile(rf"runs/{_NAME}\.tar\.gz")
_SUMMARY = re.compile(rf"{_SUMMARIES}/{_NAME}\.(?P<own>[0-9a-f]{{64}})\.json")
_FILE = re.compile(r"journal\.jsonl|outcomes/\w[\w.+@-]*/\w[\w.+@-]*\.json")

HERE = "it is here already"
"""What is to be known of a run that has been pulled before, or was pushed from here."""

_AT_ONCE = 64
"""Runs that are in memory at the same time."""

_Object = TypeVar("_Object")


@dataclass(frozen=True, slots=True, order=True)
class SharedRun:
    """A run in a store.

    Attributes:
        run: its id; of one environment no two have the same.
        environment: see :func:`environment_of`.
        digest: of its files.
    """

    run: str
    environment: str
    digest: str

    @property
    def key(self) -> str:
        """``ENVIRONMENT/RUN``."""
        return f"{self.environment}/{self.run}"

    @property
    def name(self) -> str:
        """Of its object."""
        return f"runs/{self.key}.{self.digest}.tar.gz"


def digest_of(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return sha256(content).hexdigest()


def environment_of(header: RunHeader) -> str:
    """Fingerprint of a run's environment: machine and versions, without what is of the moment and
    without the commit."""
    environment = dict(header.get("environment") or {})
    for name in (*OF_THE_MOMENT, "git"):
        environment.pop(name, None)
    return digest_of(json.dumps(environment, sort_keys=True, default=str).encode())[:16]


def runs_of(store: Objects, environment: str = "") -> tuple[list[SharedRun], list[str]]:
    """The runs of a store, the oldest first, and sentences on those that are left out: of two
    contents for one run nobody can say which is right.

    Args:
        environment: the only one that is wanted.
    """
    found: dict[str, list[SharedRun]] = defaultdict(list)
    for name in store.names(f"runs/{environment}".rstrip("/")):
        if match := _RUN.fullmatch(name):
            one = SharedRun(match["run"], match["environment"], match["digest"])
            found[one.key].append(one)
    remarks = [
        f"{store.name}: {key}: left out: there are {len(several)} contents for this run, "
        f"{' and '.join(one.digest[:12] for one in several)}; delete the wrong one"
        for key, several in found.items()
        if len(several) > 1
    ]
    return sorted(several[0] for several in found.values() if len(several) == 1), remarks


def named_runs(runs: Sequence[SharedRun], request: str) -> list[SharedRun]:
    """Runs of an id, of the beginning of one, or of a glob; behind a slash the environment's
    fingerprint, before it the id."""
    names = {one: one.key if "/" in request else one.run for one in runs}
    same = [one for one in runs if names[one] == request]
    pattern = f"{request}*"
    return same or [one for one in runs if fnmatchcase(names[one], pattern)]


def push_run(store: Objects, journal: Path, known: Collection[SharedRun]) -> SharedRun | None:
    """Add a run and its summary.

    Args:
        journal: of the run.
        known: the runs of the store.

    Returns:
        The run; None where it was there.

    Raises:
        UsageError: the run has not ended, or the store has another content for it.
        OSError: its files cannot be read.
    """
    run, name = read_run(journal), journal.parent.name
    if not run.is_complete:
        unfinished = "it is still running, or something ended it"
        found = "not all of its tests have ended" if run.finished else unfinished
        todo = f"Wait for it, or go on with it: pytest benchmarks --resume={name}"
        raise UsageError(name, found, todo)
    packed = _packed(journal.parent)
    shared = SharedRun(name, environment_of(run.header), digest_of(packed))
    if not _RUN.fullmatch(shared.name):
        raise UsageError(name, "no run is called so", "Name a directory of .archbench/runs")
    _refuse_other(store, shared, known)
    is_new = shared not in known
    if is_new or _is_damaged(store, shared):
        store.write(shared.name, gzip.compress(packed, 6, mtime=0))
    summary = summary_of(run)
    place = f"{_SUMMARIES}/{shared.key}.{shared.digest}.{digest_of(summary)}.json"
    if store.read([place]) != [summary]:
        store.write(place, summary)
    if is_new and shared not in runs_of(store, shared.environment)[0]:
        raise UsageError(
            name,
            f"somebody has pushed another content for it to {store.name} at the same time",
            f"Delete the wrong one there; both are left out until then: runs/{shared.key}.*",
        )
    return shared if is_new else None


def _refuse_other(store: Objects, shared: SharedRun, known: Iterable[SharedRun]) -> None:
    if any(one.key == shared.key and one.digest != shared.digest for one in known):
        raise UsageError(
            shared.run,
            f"{store.name} has another content for this run, and what is there is never changed",
            f"See which is right: archbench pull {shared.key}, in another directory",
        )


def _is_damaged(store: Objects, shared: SharedRun) -> bool:
    try:
        _files(shared, store.read([shared.name])[0])
    except ValueError:
        return True
    return False


def _packed(directory: Path) -> bytes:
    """The files of a run as one, the same for the same files wherever it is made."""
    outcomes = sorted((directory / "outcomes").glob("*/*.json"))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in (directory / "journal.jsonl", *outcomes):
            content = regular(path).read_bytes()
            info = tarfile.TarInfo(path.relative_to(directory).as_posix())
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _files(shared: SharedRun, content: bytes | str) -> dict[str, bytes]:
    """The files of a run, by their paths.

    Raises:
        ValueError: the object is not what its name says; says why.
    """
    if isinstance(content, str):
        raise ValueError(f"it cannot be read ({content})")
    try:
        packed = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"it was written by half, or is damaged ({error})") from None
    if digest_of(packed) != shared.digest:
        raise ValueError("its content is not what its name says")
    files = {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        for member in tar:
            file = tar.extractfile(member) if _FILE.fullmatch(member.name) else None
            if file is None:
                raise ValueError(f"it holds {member.name!r}, which no run has")
            files[member.name] = file.read()
    return files


def pull_runs(
    store: Objects, wanted: Sequence[SharedRun], runs: Path
) -> Iterator[tuple[SharedRun, str]]:
    """Put runs into a directory of runs; none that is there is changed.

    Yields:
        Each run with what is to be known: an empty text where it was pulled.
    """
    absent: dict[str, SharedRun] = {}
    for one in wanted:
        place = runs / one.run
        if _is_there(place, one):
            yield one, HERE
        elif place.exists() or absent.setdefault(one.run, one) is not one:
            yield one, f"it differs from the run of that name in {runs}, which stays as it is"
    for part in _parts(list(absent.values())):
        for one, content in zip(part, store.read([run.name for run in part]), strict=True):
            try:
                _unpack(_files(one, content), runs, one.run)
                yield one, ""
            except ValueError as error:  # noqa: PERF203
                yield one, f"left out: {error}"


def _is_there(place: Path, shared: SharedRun) -> bool:
    try:
        return digest_of(_packed(place)) == shared.digest
    except OSError:
        return False


def _parts(objects: Sequence[_Object]) -> Iterator[Sequence[_Object]]:
    for start in range(0, len(objects), _AT_ONCE):
        yield objects[start : start + _AT_ONCE]


def _unpack(files: dict[str, bytes], runs: Path, run: str) -> None:
    """Make the directory of a run, at once."""
    make_directory(runs)
    with tempfile.TemporaryDirectory(
        prefix=f".{run}.", dir=runs, ignore_cleanup_errors=True
    ) as name:
        unfinished = Path(name) / run
        for path, content in files.items():
            (unfinished / path).parent.mkdir(parents=True, exist_ok=True)
            (unfinished / path).write_bytes(content)
        unfinished.rename(runs / run)


def summaries_of(
    store: Objects, wanted: Sequence[SharedRun], root: Path, remarks: list[str]
) -> Iterator[tuple[SharedRun, Summary]]:
    """The figures of runs, in no order. Of a run without a summary they are derived.

    Args:
        root: of the project, which remembers what it has read.
        remarks: takes sentences on what was left out.
    """
    left = {one.digest: one for one in wanted}
    cache = own_directory(root) / "stores" / f"{digest_of(store.url.encode())[:16]}.{VERSION}"
    new: list[bytes] = []
    for source in (_cached(cache, left), _stored(store, left), _derived(store, left, remarks)):
        for digest, content, is_new in source:
            summary = _decoded(content)
            if summary is not None and digest in left:
                yield left.pop(digest), summary
                new += [f"{digest} {digest_of(content)} ".encode() + content + b"\n"] * is_new
    if new:
        with suppress(OSError):  # a full disk costs time and nothing else
            make_directory(cache.parent)
            with cache.open("ab") as file:
                file.writelines([b"\n", *new])


_Read = Iterator[tuple[str, bytes, bool]]
"""Digest of a run, its summary, and whether that is to be remembered."""


def _decoded(content: bytes) -> Summary | None:
    """A summary, unless it is of an archbench that writes others."""
    try:
        return read_summary(content)
    except ValueError:
        return None


def _cached(cache: Path, wanted: Collection[str]) -> _Read:
    """What was read before; a line that was torn is passed over."""
    with suppress(OSError), regular(cache).open("rb") as file:
        for line in file:
            digest, _, rest = line.rstrip(b"\n").partition(b" ")
            own, _, content = rest.partition(b" ")
            if digest.decode("ascii", "replace") in wanted and digest_of(content).encode() == own:
                yield digest.decode(), content, False


def _stored(store: Objects, wanted: Collection[str]) -> _Read:
    """What was pushed with the runs."""
    if not wanted:
        return
    found = filter(None, map(_SUMMARY.fullmatch, store.names(_SUMMARIES)))
    matches = {match["digest"]: match for match in found if match["digest"] in wanted}
    for part in _parts(list(matches.values())):
        contents = store.read([match.string for match in part])
        for match, content in zip(part, contents, strict=True):
            if isinstance(content, bytes) and digest_of(content) == match["own"]:
                yield match["digest"], content, True


def _derived(store: Objects, wanted: dict[str, SharedRun], remarks: list[str]) -> _Read:
    """Of runs that have no summary, or a damaged one."""
    for part in _parts(list(wanted.values())):
        for one, content in zip(part, store.read([run.name for run in part]), strict=True):
            try:
                files = _files(one, content)
                with tempfile.TemporaryDirectory() as name:
                    _unpack(files, Path(name), one.run)
                    run = read_run(Path(name) / one.run / "journal.jsonl")
                    yield one.digest, summary_of(run), True
            except ValueError as error:  # noqa: PERF203
                remarks.append(f"{store.name}: {one.key}: left out: {error}")
