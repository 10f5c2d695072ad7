"""Files of baselines: what is read, what is refused, what an update leaves alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from archbench.core.errors import UsageError
from archbench.core.lines import (
    AccuracyLine,
    CellLine,
    CountLine,
    FingerprintLine,
    Line,
    TimeLine,
    line_of,
)
from archbench.store.baselines import Updated, read_baselines, update_baselines
from tests.core.lines import count_line

EXAMPLES = Path(__file__).parent / "examples"
EXAMPLE = EXAMPLES / "complexity-schema-4.jsonl"


SMALL = count_line("timm/b", params=7, trainable_params=7)


def update(path: Path, *lines: CountLine, only_new: bool = False) -> Updated:
    lock = path.parent / "locks" / "lock"
    return update_baselines(path, CountLine, lines, lock, only_new=only_new)


@pytest.mark.parametrize("schema", [1, 2, 3, 4])
def test_stored_examples_of_counts(schema: int) -> None:
    baselines = read_baselines(EXAMPLES / f"complexity-schema-{schema}.jsonl", CountLine)
    assert baselines.lines == {
        "local/a": count_line("local/a"),
        "timm/b": SMALL,
    }
    assert baselines.numbers == {"local/a": 2, "timm/b": 3}


WALL = [0.1, 0.1, 0.11, 0.11, 0.12, 0.12, 0.13, 0.14, 0.15]
CPU = [0.09, 0.09, 0.1, 0.1, 0.11, 0.11, 0.12, 0.13, 0.14]


DEVICE = [0.081, 0.082, 0.082, 0.083, 0.084, 0.085, 0.086, 0.087, 0.09]


def timed(
    reference_workload: float | None, counts: dict[str, int] | None, **memory_and_energy: float
) -> dict[str, Any]:
    name = None if reference_workload is None else "sgemm 320 numpy 2.4.6"
    run = {
        "wall": WALL, "cpu": CPU, "samples": 20, "lost": 0.05, "others": 0.01,
        "reference_workload": reference_workload, "device": None, "queue_full": None,
    }  # fmt: skip
    return {
        "id": "timm/a",
        "cell": "fp32-b1",
        "process_runs": [run] * 2,
        "counts": counts,
        "memory_and_energy": memory_and_energy,
        "environment": {
            "device_name": "AMD EPYC",
            "logical_cores": 2,
            "clock": "cpu",
            "reference_workload": name,
        },
        "when": "2026-11-20T18:40:12+00:00",
        "commit": None,
        "reason": "first",
    }


def by_key(*lines: dict[str, Any]) -> dict[str, TimeLine]:
    return {line.key: line for line in (line_of(TimeLine, one) for one in lines)}


COUNTED = {"params": 200, "macs": 5000}


def on_device() -> dict[str, Any]:
    """What is accepted of an accelerator."""
    line = timed(None, COUNTED, peak_memory=10_039_296, energy_per_image=0.25)
    run = {**line["process_runs"][0], "device": DEVICE, "queue_full": True}
    environment = {
        "device_name": "NVIDIA H200", "logical_cores": 2, "clock": "wall",
        "reference_workload": None
    }  # fmt: skip
    return {
        **line, "id": "timm/b", "cell": "fp16-b8-nhwc-compiled",
        "process_runs": [run] * 2, "environment": environment,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (1, [timed(None, None)]),
        (2, [timed(0.0006, COUNTED)]),
        (3, [timed(0.0006, COUNTED, peak_memory=10_039_296), on_device()]),
        (4, [timed(0.0006, COUNTED, peak_memory=10_039_296), on_device()]),
    ],
)
def test_stored_examples_of_times(schema: int, expected: list[dict[str, Any]]) -> None:
    path = EXAMPLES / f"latency-schema-{schema}.jsonl"
    read = read_baselines(path, TimeLine).lines
    assert read == by_key(*expected)


def test_an_update_writes_the_stored_example_of_times(tmp_path: Path) -> None:
    path = tmp_path / "fp16.jsonl"
    lines = by_key(on_device(), timed(0.0006, COUNTED, peak_memory=10_039_296)).values()
    update_baselines(path, TimeLine, lines, tmp_path / "lock", only_new=False)
    assert path.read_bytes() == (EXAMPLES / "latency-schema-4.jsonl").read_bytes()


def test_an_older_file_is_written_in_the_newer_schema(tmp_path: Path) -> None:
    path = tmp_path / "fp32.jsonl"
    path.write_bytes((EXAMPLES / "latency-schema-1.jsonl").read_bytes())
    new = by_key({**timed(0.0006, None), "id": "timm/b"}).values()
    update_baselines(path, TimeLine, new, tmp_path / "lock", only_new=False)
    assert json.loads(path.read_bytes().splitlines()[0])["schema"] == 4
    assert by_key(timed(None, None)).items() <= read_baselines(path, TimeLine).lines.items()


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ('"reference_workload":0.0006', '"reference_workload":0', "process_runs is"),
        (
            '"reference_workload":0.0006',
            '"reference_workload":NaN',
            "not a line of JSON (NaN is not a number)",
        ),
        (',"reference_workload":0.0006', "", "process_runs is"),
        ('"macs":5000', '"macs":-1', "counts is"),
        ('"peak_memory":10039296', '"peak_memory":-1', "memory_and_energy is"),
        ('"peak_memory":10039296', '"peak_memory":1e999', "memory_and_energy is"),
        ('"peak_memory":10039296', '"params":10039296', "memory_and_energy is"),
        ("[0.1,0.1,", "[0.2,0.1,", "process_runs is"),  # quantiles that fall
        (
            '"reference_workload":0.0006,"device":null,"queue_full":null}],',
            '"reference_workload":null,"device":null,"queue_full":null}],',
            "the environment names a reference workload",
        ),
        ('"device":null', '"device":[]', "process_runs is"),
        ('"device":null', f'"device":{DEVICE[::-1]}', "process_runs is"),
        (',"device":null', "", "process_runs is"),
        ('"queue_full":null', '"queue_full":1', "process_runs is"),
        (
            '"device":null,"queue_full":null}],',
            f'"device":{DEVICE},"queue_full":true}}],',
            "some of its process runs have the device's time and some have not",
        ),
    ],
)
def test_times_that_cannot_be_are_refused(old: str, new: str, cause: str, tmp_path: Path) -> None:
    text = (EXAMPLES / "latency-schema-4.jsonl").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "fp32.jsonl"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_baselines(path, TimeLine)
    assert f"{path}:2: {cause}" in str(caught.value)


def test_an_update_writes_the_stored_example(tmp_path: Path) -> None:
    path = tmp_path / "baselines" / "complexity.jsonl"
    assert update(path, SMALL, count_line("local/a")) == Updated(("local/a", "timm/b"), (), 0)
    assert path.read_bytes() == EXAMPLE.read_bytes()


def test_no_file_has_no_lines(tmp_path: Path) -> None:
    assert read_baselines(tmp_path / "none.jsonl", CountLine).lines == {}


def test_update_touches_only_its_own_lines(tmp_path: Path) -> None:
    path = tmp_path / "complexity.jsonl"
    update(path, count_line("timm/a"), count_line("timm/b"), count_line("timm/c"))
    before = path.read_text(encoding="utf-8").splitlines()
    assert update(path, count_line("timm/b", params=8), count_line("timm/c")) == Updated(
        (), ("timm/b",), 1
    )
    after = path.read_text(encoding="utf-8").splitlines()
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, True, False, True]


def test_new_only_adds(tmp_path: Path) -> None:
    path = tmp_path / "complexity.jsonl"
    update(path, count_line("timm/b"))
    assert update(
        path, count_line("timm/b", params=8), count_line("timm/a"), only_new=True
    ) == Updated(("timm/a",), (), 1, ("timm/b",))
    lines = read_baselines(path, CountLine).lines
    assert [(key, value.params) for key, value in lines.items()] == [
        ("timm/a", 162), ("timm/b", 162)
    ]  # fmt: skip


def test_what_a_newer_library_confirms_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "complexity.jsonl"
    update(path, count_line("timm/a"))
    before = path.stat().st_mtime_ns, path.read_bytes()
    assert update(path, count_line("timm/a", torch="2.16.0", library="timm 2.0")).unchanged == 1
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    changed = count_line("timm/a", torch="2.16.0", operator_calls=6)
    assert update(path, changed).changed == ("timm/a",)
    assert read_baselines(path, CountLine).lines["timm/a"].torch == "2.16.0"


HEADER = '{"format":"archbench-baseline","kind":"complexity","schema":4}'


def dumped(**fields: Any) -> str:
    return json.dumps({**msgspec.to_builtins(count_line()), **fields})


@pytest.mark.parametrize(
    ("text", "number", "cause"),
    [
        ("", 1, "the file is empty"),
        (HEADER + "\n" + dumped()[:-9], 2, "the line has no end: the file was cut off"),
        (HEADER + "\n" + dumped()[:-9] + "\n", 2, "not a line of JSON"),
        (HEADER + "\n" + dumped() + "\n\n", 3, "not a line of JSON"),
        (HEADER + "\n[1]\n", 2, "an object is expected, found list"),
        (HEADER + "\n" + dumped(params=float("nan")) + "\n", 2, "NaN is not a number"),
        (HEADER + "\n" + dumped(params=-1) + "\n", 2, "params is -1, which it cannot be"),
        (HEADER + "\n" + dumped(params=1.5) + "\n", 2, "params is 1.5, which it cannot be"),
        (HEADER + "\n" + dumped(params=True) + "\n", 2, "params is true, which it cannot be"),
        (HEADER + "\n" + dumped(layers=[["a", 1]]) + "\n", 2, "layers is"),
        (HEADER + '\n{"id":"timm/a"}\n', 2, "it has no field 'input_shape'"),
        (HEADER + "\n" + dumped(colour=1) + "\n", 2, "'colour' that schema 4 does not know"),
        (HEADER + "\n<<<<<<< ours\n", 2, "a mark of a merge conflict"),
        (HEADER + "\n" + dumped() + "\n=======\n", 3, "a mark of a merge conflict"),
        (HEADER + "\n" + dumped() + "\n" + dumped() + "\n", 3, "a second line for timm/a; the fir"),
        (dumped() + "\n", 1, "the header is not that of a file of format 'archbench-baseline'"),
        (HEADER.replace(":4", ":5") + "\n", 1, "it has schema 5, this archbench reads up to 4"),
        (HEADER.replace("complexity", "time") + "\n", 1, "kind 'time', expected 'complexity'"),
        (HEADER + "\n\xff\n", 2, "not a line of JSON"),
        (HEADER + "\n" + "[" * 200_000 + "\n", 2, "not a line of JSON"),
        (HEADER + '\n{"id":"a","id":"b"}\n', 2, "a field stands in it twice"),
        (HEADER + "\n" + dumped(id="x\ud800") + "\n", 2, "id is"),
        (HEADER + "\n" + dumped(layers=[["a", 1, 1, 0]]) + "\n", 2, "layers is"),
        (HEADER.replace(":4", ":0") + "\n", 1, "the header is not that of"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_trusted_is_refused_and_left_alone(
    text: str, number: int, cause: str, tmp_path: Path
) -> None:
    path = tmp_path / "complexity.jsonl"
    path.write_bytes(text.encode("latin-1"))
    for attempt in (
        lambda: read_baselines(path, CountLine),
        lambda: update(path, count_line("timm/new")),
    ):
        with pytest.raises(UsageError) as caught:
            attempt()
        assert f"{path}:{number}: " in str(caught.value)
        assert cause in str(caught.value)
        assert caught.value.todo
        assert path.read_bytes() == text.encode("latin-1")


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_baselines(tmp_path, CountLine)


def test_a_disk_that_is_full_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "complexity.jsonl"
    update(path, count_line("timm/a"))
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        update(path, count_line("timm/b"))
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["complexity.jsonl", "locks"]


def test_two_updates_at_once_keep_both_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "complexity.jsonl"
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from archbench.store.baselines import update_baselines\n"
        "from archbench.core.lines import CountLine\n"
        "from tests.core.lines import count_line\n"
        "path, who = Path(sys.argv[1]), sys.argv[2]\n"
        "for i in range(25):\n"
        "    lock = path.parent / 'lock'\n"
        "    new = [count_line(f'timm/{who}{i}')]\n"
        "    update_baselines(path, CountLine, new, lock, only_new=True)\n"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(path), who]) for who in ("a", "b")
    ]
    assert [child.wait(timeout=900) for child in children] == [0, 0]
    assert len(read_baselines(path, CountLine).lines) == 50


def test_a_link_stays_one(tmp_path: Path) -> None:
    target, link = tmp_path / "real.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(target)
    update(link, count_line("timm/a"))
    assert link.is_symlink()
    assert list(read_baselines(target, CountLine).lines) == ["timm/a"]


SHARED = {
    "environment": {"device_name": "AMD EPYC", "torch": "2.15.0"},
    "when": "2026-11-20T18:40:12+00:00",
    "commit": None,
    "reason": "first",
}
STATED = {"resize": 256, "crop": [224, 224], "mode": "center"}
ACCURACY = {
    "id": "timm/a",
    "cell": "fp32",
    "top1": {"images": 3, "right": 2, "digest": "d", "bits": "roA=="},
    "top5": None,
    "weights": {"source": "file", "file": "a.safetensors", "sha256": "0" * 64, "bytes": 9},
    "preprocessing": STATED,
    "sample": None,
    "seed": None,
    **SHARED,
}
FINGERPRINT = {
    "id": "timm/a",
    "cell": "fp32",
    "inputs": [0.5, -1.25],
    "outputs": [1e-7, 3],
    "top": [7, 9],
    "weights": "none",
    "preprocessing": STATED,
    "asked": "none",
    **SHARED,
}


@pytest.mark.parametrize(
    "line", [line_of(AccuracyLine, ACCURACY), line_of(FingerprintLine, FINGERPRINT)]
)
def test_stored_examples_of_accuracies(line: CellLine, tmp_path: Path) -> None:
    kind = type(line)
    older = [EXAMPLES / f"{kind.kind}-schema-{schema}.jsonl" for schema in (2, 3)]
    example = EXAMPLES / f"{kind.kind}-schema-4.jsonl"
    for stored in (*older, example):
        assert read_baselines(stored, kind).lines == {"timm/a fp32": line}
    path = tmp_path / "x.jsonl"
    update_baselines(path, kind, [line], tmp_path / "lock", only_new=False)
    assert path.read_bytes() == example.read_bytes()


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (AccuracyLine, "top1", None),
        (AccuracyLine, "top1", {**ACCURACY["top1"], "right": 4}),  # type: ignore[dict-item]
        (AccuracyLine, "top1", {**ACCURACY["top1"], "images": 0, "right": 0}),  # type: ignore[dict-item]
        (AccuracyLine, "top1", {**ACCURACY["top1"], "bits": ""}),  # type: ignore[dict-item]
        (AccuracyLine, "top5", {"images": 3}),
        (AccuracyLine, "weights", "a.safetensors"),
        (AccuracyLine, "preprocessing", None),
        (AccuracyLine, "sample", -1),
        (FingerprintLine, "inputs", ["0.5"]),
        (FingerprintLine, "outputs", None),
        (FingerprintLine, "top", [-1]),
        (FingerprintLine, "weights", None),
        (FingerprintLine, "reason", 3),
    ],
)
def test_accuracies_that_cannot_be_are_refused(
    kind: type[Line], field: str, value: Any, tmp_path: Path
) -> None:
    header, text = (
        (EXAMPLES / f"{kind.kind}-schema-4.jsonl").read_text(encoding="utf-8").splitlines()
    )
    damaged = json.dumps({**json.loads(text), field: value})
    path = tmp_path / "x.jsonl"
    path.write_text(f"{header}\n{damaged}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=f"x.jsonl:2: {field} is"):
        read_baselines(path, kind)
