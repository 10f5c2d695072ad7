"""Networks that misbehave, in each kind of run, beside two good ones.

    python tools/isolation.py                          all kinds of runs: about an hour
    python tools/isolation.py --kinds=plain --nets=Forks,Stops

The networks are those of ``tests/isolation/nets.py``. For each kind of run the table has the status
of each network's cell; after a run it says what is not as it has to be: a cell without exactly one
status, a good network without figures, or anything that is there two seconds after the run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
from PIL import Image

from archbench.core.records import Record
from archbench.report.tables import Table

ROOT = Path(__file__).resolve().parents[1]
NETS = ROOT / "tests" / "isolation" / "nets.py"
GOOD = ("Good", "AlsoGood")
KEPT = ("torchinductor", "pytest-of-")
"""Beginnings of what others keep among temporary files."""

LEFT = 2.0
"""Seconds after a run at which nothing of it is to be there."""

TIMED = "def test_latency(bench, loaded_model): bench.latency(loaded_model)\n"
EVALUATED = """
def test_accuracy(bench, model_spec, accuracy_target):
    bench.accuracy(model_spec, accuracy_target)
"""
KINDS = {
    "plain": (TIMED, ()),
    "processes": (TIMED, ("--archbench-processes=2",)),
    "paired": (TIMED, ("--archbench-against=batch-size=2",)),
    "workers": (TIMED, ("-n", "2")),
    "accuracy": (EVALUATED, ("--archbench-imagenet=images", "--archbench-weights=none")),
}
"""Test and arguments of each kind of run."""


def names() -> list[str]:
    """The networks that misbehave, in their order."""
    sys.path.insert(0, str(NETS.parent))
    from nets import HARM  # type: ignore[import-not-found]

    return list(HARM)


def make_project(place: Path, test: str) -> None:
    """A project with the networks, and a few images."""
    place.mkdir(parents=True)
    shutil.copy(NETS, place / "nets.py")
    (place / "test_bench.py").write_text(test, encoding="utf-8")
    (place / "tmp").mkdir()
    for name in ("0", "1"):
        folder = place / "images" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(folder / "a.png")


def left_of(place: Path) -> Iterator[str]:
    """What is there of a run."""
    for process in psutil.process_iter():
        try:
            is_its = process.environ().get("PROJECT") == str(place)
        except psutil.Error:
            continue
        if is_its and process.status() != psutil.STATUS_ZOMBIE:
            yield f"process {process.pid}: {' '.join(process.cmdline())[-60:]}"
    for name in ("processes", "against"):
        yield from (str(path) for path in (place / ".archbench" / name).glob("*"))
    if (place / "tmp").exists():
        # torch's compiler keeps what it has made for the next process, pytest what xdist asks for.
        names = (path.name for path in (place / "tmp").iterdir())
        yield from (f"tmp/{name}" for name in names if not name.startswith(KEPT))


def statuses(place: Path) -> dict[str, list[str]]:
    """The statuses of each network's cell."""
    document = json.loads((place / "r.json").read_text(encoding="utf-8"))
    found: dict[str, list[str]] = {}
    for entry in document["cells"]:
        cell = Record.from_dict(entry)
        text = ",".join(dict.fromkeys(verdict.status for verdict in cell.verdicts))
        found.setdefault(cell.id.removeprefix("local/"), []).append(text or "measured")
    return found


def run(kind: str, nets: Sequence[str], place: Path) -> tuple[dict[str, list[str]], list[str]]:
    """One run: the statuses, and what is wrong."""
    test, arguments = KINDS[kind]
    make_project(place, test)
    models = [f"--archbench-models=nets.py:{name}" for name in (GOOD[0], *nets, GOOD[1])]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "test_bench.py", "-p", "no:cacheprovider", "-q"),
            *("--archbench-gpu=cpu", "--archbench-time-budget=0.05", "--archbench-cell-timeout=12"),
            *("--archbench-results=r.json", *arguments, *models),
        ],
        cwd=place,
        env={**os.environ, "PROJECT": str(place), "TMPDIR": str(place / "tmp")},
        capture_output=True,
        text=True,
        check=False,
    )
    (place / "out.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
    time.sleep(LEFT)
    wrong = [f"it is left behind: {one}" for one in left_of(place)]
    if done.returncode != 1:
        return {}, [*wrong, f"the run ended with {done.returncode}: {place / 'out.txt'}"]
    found = statuses(place)
    for name in (*GOOD, *nets):
        cells = found.get(name, [])
        if len(cells) != 1:
            wrong.append(f"{name} has {len(cells)} cells: {cells}")
    document = json.loads((place / "r.json").read_text(encoding="utf-8"))["cells"]
    wrong += [
        f"{cell['id']} was not measured: {cell['verdicts']}"
        for cell in document
        if cell["id"].removeprefix("local/") in GOOD and not cell["metrics"]
    ]
    return found, wrong


def main() -> int:
    """Run them and print the table; 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--nets", default="")
    parser.add_argument("--keep", type=Path, help="directory for the projects, which then stay")
    options = parser.parse_args()
    nets = options.nets.split(",") if options.nets else names()
    kinds = options.kinds.split(",")
    found: dict[str, dict[str, list[str]]] = {}
    is_bad = False
    with tempfile.TemporaryDirectory() as directory:
        for kind in kinds:
            began = time.monotonic()
            place = (options.keep or Path(directory)) / kind
            found[kind], wrong = run(kind, nets, place.resolve())
            is_bad |= bool(wrong)
            print(f"{kind}: {time.monotonic() - began:.0f} s", flush=True)
            for sentence in wrong:
                print(f"  {sentence}", flush=True)
    rows = [
        [name, *("; ".join(found[kind].get(name, [])) for kind in kinds)] for name in (*GOOD, *nets)
    ]
    headers = ("network", *kinds)
    print(Table(headers, rows, headers).print_as("text"))
    return int(is_bad)


if __name__ == "__main__":
    raise SystemExit(main())
