"""What a person gets for a request that makes no sense: what was asked, found, and to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("preloaded_python")

USAGE = pytest.ExitCode.USAGE_ERROR
FAILED = pytest.ExitCode.TESTS_FAILED
QUICK = ("--archbench-time-budget=0.05", "--archbench-gpu=cpu")


def refused(suite: pytest.Pytester, *arguments: str) -> str:
    result = suite.runpytest_inprocess("test_bench.py", *arguments)
    assert result.ret == USAGE
    output = result.stdout.str() + result.stderr.str()
    assert "Traceback" not in output
    return output


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("suite=imagnet", "suite"),
        ("models=resnet5O", "resnet50"),
        ("models=nosuchnet*", "nosuchnet"),
        (
            "batch-size=0",
            "--batch-size=0: '0' is not a whole number of at least 1. "
            "Write for example --batch-size=1,4,8",
        ),
        ("batch-size=max,0", "--batch-size=max,0: '0' is not a whole number of at least 1."),
        (
            "memory-format=nhcw",
            "'nhcw' is not a memory format that archbench knows. Use nchw, nhwc",
        ),
        (
            "runtime=fast",
            "'fast' is not a runtime that archbench knows. Use eager, compiled, cudagr",
        ),
        ("gpu=cpu,,v100", "--gpu=cpu,,v100: a name between the commas is empty"),
        ("gpu=cuda:9", "--gpu=cuda:9: no such device; this machine has"),
        ("runtime=cudagraph", "has no CUDA graphs. Use --runtime=eager or --runtime=compiled"),
        ("dtype=tf32", "does not run it: TF32 is a mode of NVIDIA devices from Ampere on"),
        ("batch-size=many", "--batch-size=many: 'many' is not a whole number of at least 1."),
        ("batch-size=1,,4", "--batch-size=1,,4: '' is not a whole number"),
        ("threads=0", "--threads=0: '0' is not a whole number of at least 1"),
        ("threads=1,2", "--threads=1,2: one number is expected. Run once for each"),
        (
            "time-budget=0",
            "--time-budget=0: not a number of seconds above 0. "
            "Write for example --time-budget=2, or use --quick for a glance",
        ),
        ("time-budget=nan", "--time-budget=nan: not a number of seconds above 0"),
        ("time-budget=-1", "--time-budget=-1: not a number"),
        (
            "dtype=fp8",
            "--dtype=fp8: 'fp8' is not a precision that archbench knows. "
            "Use fp32, tf32, fp16, bf16, amp-fp16, amp-bf16, int8",
        ),
        ("results=no/such/r.json", "such does not exist. Name a file in a directory that exists"),
        ("results=.", "is not a regular file. Name a file in a directory that exists"),
        ("models=missing.py:net", "Write --models=path/to/file.py:constructor"),
        (
            "models=small_net.py:large",
            "small_net.py defines no 'large'; it has Small, small. "
            "Name a function or class in it that returns the model",
        ),
        ("models=small_net.py:small@x", "'x' is not a size in pixels"),
        ("models=small_net.py", "it names a file and no constructor in it"),
        ("models=small_net.py:", "it names a file and no constructor in it"),
        ("models=local/smal", "this project's own architectures are none"),
        ("suite=lightweigh", "the nearest is lightweight"),
        ("results=/dev/null", "is not a regular file"),
        ("results=/proc/r.json", "nothing can be written in /proc"),
        ("batch-size=99999999999", "more than torch can count"),
        ("suite=", "--suite=: the value is empty. Give one, or leave the option out"),
        ("models=", "--models=: the value is empty"),
        ("gpu=", "--gpu=: the value is empty"),
        ("results=", "--results=: the value is empty"),
    ],
)
def test_refused(suite: pytest.Pytester, option: str, message: str) -> None:
    # In a project that has not given our options short names, messages spell the long ones.
    assert message.replace("--", "--archbench-") in refused(suite, f"--archbench-{option}")


def test_messages_spell_the_short_names_where_they_exist(suite: pytest.Pytester) -> None:
    suite.makeconftest(
        """
        from archbench.pytest_plugin.options import add_options

        def pytest_addoption(parser):
            add_options(parser, prefix="--")
        """
    )
    result = suite.runpytest_inprocess("test_bench.py", "--batch-size=0")
    assert result.ret == USAGE
    assert "--batch-size=0: '0' is not a whole number" in result.stderr.str()


def test_messages_spell_the_long_names_where_the_conftest_is_met_too_late(
    suite: pytest.Pytester,
) -> None:
    # The command line names the folder above, so the conftest is met as tests are collected.
    suite.mkpydir("below").joinpath("conftest.py").write_text(
        "from archbench.pytest_plugin.options import add_options\n"
        "def pytest_addoption(parser):\n"
        '    add_options(parser, prefix="--")\n'
        "def pytest_collection_modifyitems(config):\n"
        "    from archbench.pytest_plugin.options import spelled\n"
        '    print(spelled(config, "say --gpu=cpu"))\n',
        encoding="utf-8",
    )
    (suite.path / "below" / "test_one.py").write_text("def test_one(): ...\n", encoding="utf-8")
    result = suite.runpytest_inprocess(".", "--collect-only", "-q")
    result.stdout.fnmatch_lines(["*say --archbench-gpu=cpu"])


def test_unknown_architecture_names_the_nearest(suite: pytest.Pytester) -> None:
    output = refused(suite, "--archbench-models=timm/resnet5O")
    assert "timm/resnet50" in output


def test_unknown_suite_lists_the_suites(suite: pytest.Pytester) -> None:
    output = refused(suite, "--archbench-suite=imagenet")
    for name in ("seeds", "bertmoons", "bianco", "timm", "all"):
        assert name in output


def test_quick_contradicts_a_time_budget(suite: pytest.Pytester) -> None:
    output = refused(suite, "--archbench-quick", "--archbench-time-budget=3")
    assert (
        "--archbench-quick and --archbench-time-budget both say how long a cell may take" in output
    )


def test_absent_device_lists_what_is_there(suite: pytest.Pytester) -> None:
    output = refused(
        suite, "--archbench-gpu=v100", "--archbench-models=small_net.py:small", "-k", "latency"
    )
    assert "--archbench-gpu=v100: no such device; this machine has cpu (" in output


def test_absent_device_stops_workers_too(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess(
        "test_bench.py", "--archbench-gpu=v100", "--archbench-models=small_net.py:small", "-n", "2"
    )
    assert result.ret == USAGE
    assert "--archbench-gpu=v100: no such device" in result.stdout.str() + result.stderr.str()


def test_more_threads_than_cores(suite: pytest.Pytester) -> None:
    output = refused(suite, "--archbench-threads=4096", "--archbench-models=small_net.py:small")
    assert "--archbench-threads=4096: this machine has" in output


def test_an_option_that_takes_one_value_is_given_twice(suite: pytest.Pytester) -> None:
    output = refused(suite, "--archbench-gpu=cpu", "--archbench-gpu=auto")
    assert "--archbench-gpu is given 2 times: cpu, auto. Give it once" in output


@pytest.mark.parametrize(
    ("name", "more", "what"),
    [
        ("", ("-k", "complexity"), "runs are stored there"),
        ("runs", ("-k", "complexity"), "runs are stored there"),
        ("processes", ("--archbench-processes=2",), "messages between processes are kept there"),
        ("against", ("--archbench-against=HEAD",), "what is compared with is kept there"),
    ],
)
def test_a_file_where_a_run_writes(
    suite: pytest.Pytester, name: str, more: tuple[str, ...], what: str
) -> None:
    place = suite.path / ".archbench" / name
    place.parent.mkdir(exist_ok=True)
    place.write_text("", encoding="utf-8")
    output = refused(suite, "--archbench-models=small_net.py:small", *more)
    assert str(place) in output
    assert f"{what}, and nothing can be written (" in output
    assert "or keep it elsewhere: --archbench-directory=PATH" in output
    assert "Traceback" not in output


def test_a_project_that_cannot_be_written_to(suite: pytest.Pytester, tmp_path: Path) -> None:
    (suite.path / ".archbench").write_text("", encoding="utf-8")
    elsewhere = tmp_path / "els, ewhere"
    result = suite.runpytest_subprocess(
        "test_bench.py", "-p", "no:cacheprovider", "--archbench-models=small_net.py:small",
        "--archbench-processes=2", "--archbench-time-budget=0.05",
        f"--archbench-directory={elsewhere}",
    )  # fmt: skip
    result.assert_outcomes(passed=2)
    assert len(list(elsewhere.glob("runs/*/journal.jsonl"))) == 1
    assert (elsewhere / ".gitignore").is_file()
    output = refused(suite, "--archbench-directory=.archbench")
    assert "--archbench-directory=.archbench: that is no directory. Name another one" in output


def test_a_hook_that_returns_nonsense(suite: pytest.Pytester) -> None:
    suite.makeconftest("def pytest_archbench_models(): return ['resnet50']")
    output = refused(suite, "--archbench-models=local/x")
    assert "returned 'resnet50' in its list" in output
    assert "[ModelSpec.of(constructor)]" in output


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (
            "[ModelSpec.of(net, input_size=0)]",
            "ModelSpec.of(input_size=0): an input size",
        ),
        ("[]", "pytest_archbench_models: it returned no architecture. Return some"),
        ("[net]", "in its list. Wrap each constructor: [[]ModelSpec.of(constructor)]"),
    ],
)
def test_a_list_that_makes_no_sense_ends_the_run_without_a_traceback(
    suite: pytest.Pytester, returned: str, message: str
) -> None:
    suite.makeconftest(
        "from archbench import ModelSpec\ndef net(): ...\n"
        f"def pytest_archbench_models(): return {returned}\n"
    )
    for workers in ((), ("-n", "1")):
        result = suite.runpytest_inprocess("test_bench.py", *workers)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: *{message}*"])
        assert "__init__.py" not in result.stdout.str() + result.stderr.str()


def test_two_architectures_of_one_name(suite: pytest.Pytester) -> None:
    suite.makeconftest(
        """
        from archbench import ModelSpec
        def net(): ...
        def pytest_archbench_models(): return [ModelSpec.of(net), ModelSpec.of(net, input_size=9)]
        """
    )
    assert "two architectures named local/net" in refused(suite, "--archbench-models=local/net")


BROKEN = """
    import torch
    from torch import nn

    def broken():
        raise ValueError("width must be positive")

    def leaving():
        raise SystemExit(0)

    class Asserting(nn.Module):
        def forward(self, x):
            assert x.shape[-1] == 7

    class Greedy(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 10)

        def forward(self, x):
            if not x.is_meta:
                torch.ones(2**50)
            return self.fc(x.mean((2, 3)))

    class Overflowing(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 10)

        def forward(self, x):
            return self.fc(x.mean((2, 3))) * float("inf")

    class Good(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 10)

        def forward(self, x):
            return self.fc(x.mean((2, 3)))
"""


def statuses(suite: pytest.Pytester) -> dict[str, list[str]]:
    cells = json.loads((suite.path / "r.json").read_text(encoding="utf-8"))["cells"]
    return {c["id"]: sorted({v["status"] for v in c["verdicts"]} - {"no-baseline"}) for c in cells}


def test_failing_architectures_end_their_own_cells_only(suite: pytest.Pytester) -> None:
    suite.makepyfile(broken_net=BROKEN)
    names = ("broken", "leaving", "Asserting", "Greedy", "Overflowing", "Good")
    result = suite.runpytest_inprocess(
        "test_bench.py", *QUICK, "--archbench-results=r.json",
        *(f"--archbench-models=broken_net.py:{name}" for name in names),
    )  # fmt: skip
    assert result.ret == FAILED
    assert statuses(suite) == {
        "local/broken": ["crashed"],
        "local/leaving": ["crashed"],
        "local/Asserting": ["crashed"],
        "local/Greedy": ["out-of-memory"],
        "local/Overflowing": ["not-measured"],
        "local/Good": [],
    }
    output = result.stdout.str()
    result.stdout.fnmatch_lines(["ERROR test_bench.py::test_latency?local/Greedy-fp32-b1?*"])
    result.stdout.fnmatch_lines(
        [
            "crashed: local/broken cannot be built: ValueError: width must be positive",
            "out-of-memory: local/Greedy does not fit into memory at batch size 1 in fp32: *",
            "not-measured: local/Overflowing returned scores that are not finite in fp32; *",
        ],
        consecutive=False,
    )
    assert "no cell was measured" not in output


def test_a_batch_too_large_for_memory(suite: pytest.Pytester) -> None:
    result = suite.runpytest_inprocess(
        "test_bench.py", *QUICK, "--archbench-models=small_net.py:small",
        "--archbench-batch-size=1000000000", "--archbench-results=r.json", "-k", "latency",
    )  # fmt: skip
    assert result.ret == FAILED
    assert statuses(suite) == {"local/small": ["out-of-memory"]}
    result.stdout.fnmatch_lines(
        ["out-of-memory: *at batch size 1000000000 in fp32: *Use a smaller --archbench-batch-size*"]
    )


def test_a_run_without_any_figure_is_red(suite: pytest.Pytester) -> None:
    suite.makeconftest(
        """
        import pytest

        @pytest.fixture(autouse=True)
        def never(): pytest.skip("not today")
        """
    )
    result = suite.runpytest_inprocess(
        "test_bench.py", *QUICK, "--archbench-models=small_net.py:small"
    )
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(["archbench: no cell was measured of 1 selected.*"])


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_a_worker_that_dies_is_noticed(suite: pytest.Pytester, workers: tuple[str, ...]) -> None:
    suite.makepyfile(
        dying_net="""
        import os
        def dying(): os.abort()
        """
    )
    result = suite.runpytest_subprocess(
        "test_bench.py", *QUICK, "--archbench-models=dying_net.py:dying", *workers
    )
    assert result.ret != 0
    if workers:
        result.stdout.fnmatch_lines(["dying * local * crashed"])
        assert "never reported" not in result.stdout.str()


def test_results_that_cannot_be_written_are_named(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archbench.store import atomic

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "os", type("os", (), {"fsync": full, "getpid": lambda: 1}))
    result = suite.runpytest_inprocess(
        "test_bench.py", *QUICK, "--archbench-models=small_net.py:small",
        "--archbench-results=r.json", "-k", "complexity",
    )  # fmt: skip
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(
        ["archbench: --archbench-results=*could not be written: *No space left*"]
    )


def test_two_distributions_of_two_versions_are_refused(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = suite.mkdir("site")
    for name, version in (("pytest_archbench", "0.2.0"), ("pytest_archbench_core", "0.1.0")):
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        text = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
        (info / "METADATA").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(site)
    result = suite.runpytest_inprocess("--archbench-models=small_net.py:small", "--collect-only")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        "ERROR: pytest-archbench 0.2.0 and pytest-archbench-core 0.1.0 are both installed, and the "
        "files of one lie over those of the other. Keep one: python -m pip uninstall "
        "pytest-archbench pytest-archbench-core, then install it"
    )


def test_a_misspelled_option_names_the_nearest_of_ours(suite: pytest.Pytester) -> None:
    output = refused(suite, "--archbench-modles=timm/resnet18")
    assert (
        "ERROR: --archbench-modles: there is no such option. Write --archbench-models\n" in output
    )


def test_an_option_that_is_near_to_none_of_ours_is_pytests_to_refuse(
    suite: pytest.Pytester,
) -> None:
    output = refused(suite, "--verison", "--archbench-models=timm/resnet18")
    assert "error: unrecognized arguments: --verison\n" in output


def test_short_names_are_found_where_a_project_has_them(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from archbench.pytest_plugin.options import add_options

        def pytest_addoption(parser):
            add_options(parser, prefix="--")
        """
    )
    result = pytester.runpytest_inprocess("--modles=timm/resnet18")
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(["ERROR: --modles: there is no such option. Write --models"])


@pytest.mark.parametrize(
    ("option", "name", "content"),
    [
        ("results", "baselines/complexity.jsonl", '{"format": "archbench-complexity"}\n{}\n'),
        ("results", "small.py", "def small(): ...\n"),
        ("code-quality", "r.json", '{\n "schema": 1,\n "cells": []}\n'),
        ("openmetrics", "notes.txt", "remember the milk\n"),
    ],
)
def test_a_file_that_is_no_report_is_not_overwritten(
    suite: pytest.Pytester, option: str, name: str, content: str
) -> None:
    path = suite.path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content, encoding="utf-8")
    output = refused(suite, *QUICK, f"--archbench-{option}={name}")
    assert f"--archbench-{option}={name}: it is there and was not written by" in output
    assert path.read_text(encoding="utf-8") == content


@pytest.mark.parametrize(
    ("one", "other"),
    [("archbench-results", "archbench-code-quality"), ("archbench-openmetrics", "junitxml")],
)
def test_two_reports_in_one_file_are_refused(suite: pytest.Pytester, one: str, other: str) -> None:
    output = refused(suite, *QUICK, f"--{one}=o", f"--{other}={suite.path / 'o'}")
    assert f"--{one} and --{other} both write to {suite.path / 'o'}: one would be lost" in output
