"""Shards of a run, joined again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from archbench.cli import main
from archbench.core.errors import UsageError
from archbench.store.journal import Journal, read_kept, read_run
from archbench.store.merging import merge_runs
from tests.pytest_plugin.small_networks import networks

pytestmark = pytest.mark.usefixtures("preloaded_python")

NAMES = ("One", "Two", "Bad")
NETS = networks(*NAMES)
ARGUMENTS = (
    "test_count.py", "--archbench-gpu=cpu",
    *(f"--archbench-models=nets.py:{name}" for name in NAMES),
)  # fmt: skip


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(
        nets=NETS,
        test_count="""
        def test_count(bench, model_spec):
            bench.complexity(model_spec)

        def test_plain():
            pass
        """,
    )
    return pytester


def without_times(path: Path) -> Any:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [{**cell, "seconds": {}} for cell in cells]


def stored(project: pytest.Pytester) -> list[Path]:
    return sorted(
        (project.path / ".archbench" / "runs").glob("*/journal.jsonl"), key=os.path.getmtime
    )


def test_shards_come_to_what_one_run_comes_to(
    project: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = project.runpytest_inprocess(*ARGUMENTS, "--archbench-results=whole.json")
    whole.assert_outcomes(passed=3, failed=1)
    shutil.rmtree(project.path / ".archbench")
    outcomes = []
    for number in (1, 2):
        part = project.runpytest_inprocess(*ARGUMENTS, f"--archbench-shard={number}/2")
        outcomes.append(part.parseoutcomes())
    # Three architectures that are as heavy: the first and the third to the first shard by name.
    assert sum(one.get("passed", 0) + one.get("failed", 0) for one in outcomes) == 4
    runs = stored(project)
    assert len(runs) == 2

    capsys.readouterr()
    assert main(["merge", *(path.parent.name for path in runs), "--results=merged.json"]) == 1
    said = capsys.readouterr()
    assert said.err == ""
    table = [line for line in whole.stdout.lines if line.startswith(NAMES)]
    assert [line for line in said.out.splitlines() if line.startswith(NAMES)] == table
    assert "Counts: 2 no-baseline, 1 crashed." in said.out
    assert "the same command" not in said.out  # which would accept nothing
    whole_cells, cells = (without_times(project.path / f"{n}.json") for n in ("whole", "merged"))
    assert cells == whole_cells
    merged = stored(project)[-1]
    assert read_run(merged).end["exit_status"] == 1
    assert len(read_kept(merged).tests) == 3

    # Reported again, as JUnit and baselines need it.
    again = project.runpytest_inprocess(
        *ARGUMENTS, f"--archbench-resume={merged.parent.name}", "--junitxml=j.xml"
    )
    again.assert_outcomes(passed=3, failed=1)
    again.stdout.fnmatch_lines(["Going on with *: 3 of 3 tests were done."])


def test_more_shards_than_architectures_are_refused(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess(*ARGUMENTS, "--archbench-shard=2/4")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*--archbench-shard=2/4: 3 architectures are selected*Use at most 3 shards"]
    )
    result = project.runpytest_inprocess(*ARGUMENTS, "--archbench-shard=5/4")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--archbench-shard=5/4: of 4 shards there is none with*"])


SETTINGS = {"suite": "seeds", "gpu": "cpu"}
ENVIRONMENT = {"time": "2026-01-02T03:04:05+00:00", "cpu": "x"}


def a_run(
    runs: Path, name: str, macs: dict[str, int], *, end: bool = True, schema: int = 2, **header: Any
) -> Path:
    from archbench.core.records import Record

    settings = {**SETTINGS, "shard": header.pop("shard", None), **header.pop("settings", {})}
    whole = header.pop("whole", {"number": 2, "digest": "d", "models": ["timm/b", "timm/a"]})
    stated: Any = {"environment": ENVIRONMENT, "settings": settings, "whole": whole, **header}
    journal = Journal(runs, stated, name)
    for id, value in macs.items():
        metrics = {"macs": {"value": value, "unit": "1", "source": "counted"}}
        cell: Any = {"id": id, "metrics": metrics}
        journal.append_test(f"t.py::test[{id}]", [{"when": "setup"}, {"archbench": cell}])
        journal.append(Record.from_dict(cell))
    if end:
        journal.close(0, 1.0)
    else:
        journal.let_go()
    if schema != 2:
        text = journal.path.read_text(encoding="utf-8").replace('"schema":2', f'"schema":{schema}')
        journal.path.write_text(text, encoding="utf-8")
    return journal.path


def test_cells_are_in_the_order_of_the_selection(tmp_path: Path) -> None:
    first = a_run(tmp_path, "r1", {"timm/a": 1}, shard="1/2")
    second = a_run(
        tmp_path, "r2", {"timm/b": 2}, shard="2/2", environment={**ENVIRONMENT, "cpu": "y"}
    )
    merged = merge_runs([first, second])
    assert [cell.id for cell in merged.cells] == ["timm/b", "timm/a"]
    assert merged.exit_status == 0
    assert merged.remarks == ["r2 was measured with other cpu than r1"]
    # The same run twice is one.
    assert merge_runs([first, second, first]).cells == merged.cells


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"settings": {"suite": "lightweight"}, "shard": "2/2"},
         "r1 and r2: settings.suite: 'seeds' and 'lightweight'. Join parts of one run"),
        ({"schema": 1, "shard": "2/2"},
         "r2: its journal has schema 1, and runs are joined from schema 2 on. Measure it again"),
        ({"shard": "2/3"}, "shard 2/2, 1/3, 3/3 is missing beside 1/2, 2/3"),
        ({"shard": "1/2"}, "shard 2/2 is missing beside 1/2"),
        ({"shard": "2/2", "end": False},
         "r2: it did not reach its end. Go on with it: pytest benchmarks --resume=r2. Or join "),
        ({"shard": "2/2", "sources": {"net.py": "2"}},
         "r1 and r2: they are of different contents of net.py. Measure both at one revision"),
        ({"shard": "2/2", "sources": {"net.py": "1", "baselines/complexity.jsonl": "2"}},
         "r1 and r2: they are of different contents of baselines/complexity.jsonl."),
        ({"shard": "2/2", "whole": {"number": 3, "digest": "e", "models": []}},
         "r1 and r2: they are of other selections: 'd' and 'e'"),
    ],
    ids=["suite", "schema", "of", "missing", "unfinished", "code", "baselines", "selection"],
)  # fmt: skip
def test_what_is_no_part_of_one_run_is_refused(
    tmp_path: Path, other: dict[str, Any], message: str
) -> None:
    sources = {"net.py": "1", "baselines/complexity.jsonl": "1"}
    first = a_run(tmp_path, "r1", {"timm/a": 1}, shard="1/2", sources=sources)
    second = a_run(tmp_path, "r2", {"timm/b": 2}, **other)
    with pytest.raises(UsageError) as caught:
        merge_runs([first, second])
    assert message in str(caught.value)


def test_parts_that_accept_differ_in_what_they_have_accepted(tmp_path: Path) -> None:
    paths = [
        a_run(
            tmp_path, f"r{part}", {f"timm/{part}": 1}, shard=f"{part}/2",
            settings={"baseline_update": "new"},
            sources={"net.py": "1", "baselines/times.jsonl": part, "uncommitted changes": part},
        )
        for part in ("1", "2")
    ]  # fmt: skip
    assert len(merge_runs(paths).cells) == 2


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cell", "r1: its line of timm/a is damaged. Write it again: "),
        ("test", "archbench merge: 2 tests were selected, and 1 have ended in these runs. Go on "
         "with what is damaged: "),
    ],
)  # fmt: skip
def test_what_is_damaged_is_missed(tmp_path: Path, kind: str, message: str) -> None:
    first = a_run(tmp_path, "r1", {"timm/a": 1}, shard="1/2")
    second = a_run(tmp_path, "r2", {"timm/b": 2}, shard="2/2")
    lines = first.read_text(encoding="utf-8").splitlines()
    (place,) = (at for at, line in enumerate(lines) if line.startswith(f'{{"kind":"{kind}"'))
    lines[place] = lines[place].replace('"value":1,', '"value":9,')
    first.write_text("\n".join([*lines, ""]), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        merge_runs([first, second])
    todo = "pytest benchmarks --resume=r1. Or join what there is: --partial"
    assert str(caught.value) == message + todo
    merged = merge_runs([first, second], partial=True)
    assert merged.remarks == [f"{first}:{place + 1}: left out: its checksum is another one"]


def test_what_is_missing_beside_a_run_of_all(tmp_path: Path) -> None:
    first = a_run(tmp_path, "r1", {"timm/a": 1, "timm/b": 2})
    second = a_run(tmp_path, "r2", {"timm/a": 1}, shard="1/2")
    with pytest.raises(UsageError, match=r"shard 2/2 is missing beside 1/2\. Name"):
        merge_runs([first, second])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "journal.jsonl: its first line is not that of a journal. Name another run"),
        ("junk\n", "journal.jsonl: its first line is not that of a journal. Name another run"),
        (None, "journal.jsonl: it cannot be read (Is a directory). Name readable runs"),
    ],
)
def test_what_is_no_journal_is_refused(
    tmp_path: Path, content: str | None, message: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / ".archbench" / "runs"
    a_run(runs, "r1", {"timm/a": 1}, shard="1/2")
    path = runs / "r2" / "journal.jsonl"
    if content is None:
        path.mkdir(parents=True)
    else:
        path.parent.mkdir()
        path.write_text(content, encoding="utf-8")
    assert main(["merge", "r1", "r2"]) == 2
    assert message in capsys.readouterr().err


def test_what_was_joined_overwrites_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / ".archbench" / "runs"
    a_run(runs, "r1", {"timm/a": 1}, shard="1/2")
    a_run(runs, "r2", {"timm/b": 2}, shard="2/2")
    baseline = tmp_path / "complexity.jsonl"
    baseline.write_text('{"format":"archbench-baseline"}\n', encoding="utf-8")
    for name, message in (
        ("complexity.jsonl", "it is there and was not written by --results, so that it would be"),
        ("no/such.json", "no does not exist. Name another file"),
    ):
        assert main(["merge", "r1", "r2", f"--results={name}"]) == 2
        assert message in capsys.readouterr().err
    assert baseline.read_text(encoding="utf-8") == '{"format":"archbench-baseline"}\n'
    assert sorted(path.name for path in runs.iterdir()) == ["r1", "r2"]
    for _ in range(2):
        assert main(["merge", "r1", "r2", "--results=r.json"]) == 0
    assert len(json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["cells"]) == 2


def test_two_results_for_a_cell_are_refused_unless_one_is_told(tmp_path: Path) -> None:
    whole = {"number": 1, "digest": "d", "models": []}
    first = a_run(tmp_path, "r1", {"timm/a": 1}, whole=whole)
    second = a_run(tmp_path, "r2", {"timm/a": 2}, whole=whole)
    with pytest.raises(UsageError) as caught:
        merge_runs([first, second])
    assert str(caught.value) == (
        "timm/a: r1 and r2 have different results for it. Say which counts: --take=r1 or --take=r2"
    )
    for take, value in (("r1", 1), ("r2", 2)):
        (cell,) = merge_runs([first, second], take=take).cells
        assert cell.metrics["macs"]["value"] == value
    with pytest.raises(UsageError, match=r"--take=r3: the runs are r1, r2\. Name one of them"):
        merge_runs([first, second], take="r3")


def test_tests_that_no_shard_has_run_are_missed(tmp_path: Path) -> None:
    """As where machines have sharded by other times."""
    first = a_run(tmp_path, "r1", {"timm/a": 1}, shard="1/2")
    second = a_run(tmp_path, "r2", {"timm/a": 1}, shard="2/2")
    with pytest.raises(UsageError, match="2 tests were selected, and 1 have ended in these runs"):
        merge_runs([first, second])
    assert [cell.id for cell in merge_runs([first, second], partial=True).cells] == ["timm/a"]
