"""What a network does to its process, and what becomes of the rest of the run."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from archbench.core.run_config import RunConfig
from archbench.pytest_plugin import starting
from archbench.pytest_plugin.handover import why_here
from archbench.pytest_plugin.settings import Settings
from tests.pytest_plugin.test_against import RULES

pytestmark = pytest.mark.usefixtures("preloaded_python")
PYTHON = sys.executable

QUICK = ("--archbench-time-budget=0.05", "--archbench-gpu=cpu")

# Each ends its process in a way that no handler in it can catch, or does not end at all.
DEADLY = """
    import ctypes
    import os
    import signal
    import time
    from pathlib import Path

    from small_net import Small

    libc = ctypes.CDLL(None)

    class Net(Small):
        def forward(self, x):
            if not x.is_meta:
                self.harm()
            return super().forward(x)

        def harm(self):
            pass

    class Good(Net): pass

    class Exits(Net):
        def harm(self):
            libc._exit(0)

    class Faults(Net):
        def harm(self):
            ctypes.string_at(0)

    class Killed(Net):
        def harm(self):
            os.kill(os.getpid(), signal.SIGKILL)

    class Hangs(Net):
        def harm(self):
            while True:
                time.sleep(1)

    class LeavesAChild(Net):
        # It holds whatever its parent has open, the connection among that.
        def harm(self):
            child = os.fork()
            if child == 0:
                time.sleep(600)
            Path("child.txt").write_text(str(child))
            libc._exit(3)

    class Last(Net): pass
"""
ENDS = {
    "Exits": ("crashed", "process-died", "its process ended with status 0"),
    "Faults": ("crashed", "process-died", "its process died of signal 11 (Segmentation fault)"),
    "Killed": (
        "out-of-memory", "killed",
        "its process was killed, as the kernel does when memory runs out",
    ),
    "Hangs": (
        "crashed", "hung",
        "it had not ended after 20 s, and was taken to hang. If it needs longer, say how long: "
        "--cell-timeout=SECONDS",
    ),
    "LeavesAChild": ("crashed", "process-died", "its process ended with status 3"),
}  # fmt: skip

# The process that met the error can use "the device" no more; a fresh one can.
NETS = """
    import os
    from small_net import Small

    faulted = []

    class Good(Small):
        def forward(self, x):
            if faulted and not x.is_meta:
                raise RuntimeError("CUDA error: device-side assert triggered")
            return super().forward(x)

    class Fatal(Small):
        passes = 4  # that go well: loading has its own

        def forward(self, x):
            if not x.is_meta:
                self.passes -= 1
                if self.passes < 0:
                    faulted.append(1)
                    raise RuntimeError("CUDA error: device-side assert triggered")
            return super().forward(x)

    class AtOnce(Fatal):
        passes = 0

    class Later(Good):
        pass

    class Deadly(Good):
        def forward(self, x):
            if not x.is_meta:
                os.abort()
            return super().forward(x)
"""


def run(suite: pytest.Pytester, *arguments: str, names: tuple[str, ...]) -> Any:
    suite.makepyfile(nets=NETS)
    return suite.runpytest_subprocess(
        "test_bench.py", *QUICK, "--archbench-results=r.json", "-k", "latency", *arguments,
        *(f"--archbench-models=nets.py:{name}" for name in names),
    )  # fmt: skip


def cells(suite: pytest.Pytester) -> dict[str, Any]:
    found = json.loads((suite.path / "r.json").read_text(encoding="utf-8"))["cells"]
    return {cell["id"].removeprefix("local/"): cell for cell in found}


def run_deadly(suite: pytest.Pytester, *arguments: str, names: tuple[str, ...]) -> Any:
    suite.makepyfile(deadly=DEADLY, test_bench=TEST)
    return suite.runpytest_subprocess(
        "test_bench.py", *QUICK, "--archbench-results=r.json", "--archbench-cell-timeout=20",
        *arguments, *(f"--archbench-models=deadly.py:{name}" for name in names),
    )  # fmt: skip


TEST = """
    def test_latency(bench, loaded_model):
        bench.latency(loaded_model)
"""


def nothing_is_left(suite: pytest.Pytester) -> bool:
    """No process of the run's, and no file by which they spoke."""
    import psutil

    here = str(suite.path)
    commands = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    return not any(here in one for one in commands) and not list(
        (suite.path / ".archbench" / "processes").glob("*")
    )


def test_a_network_that_ends_its_process_ends_its_own_test(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A fork is no child of who waits for it, nor what it leaves of its group.
    monkeypatch.setattr(sys, "executable", PYTHON)
    names = ("Good", *ENDS, "Last")
    result = run_deadly(suite, "--junitxml=j.xml", names=names)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=2, failed=len(ENDS))
    found = cells(suite)
    assert list(found) == list(names)
    for name, expected in ENDS.items():
        (verdict,) = found[name]["verdicts"]
        assert (verdict["status"], verdict["reason"], verdict["sentence"]) == expected
        # What it was measured on is known, so that no other cell of it is crashed.
        assert found[name]["target"]["batch_size"] == 1
    for name in ("Good", "Last"):
        assert len(found[name]["metrics"]["latency"]["samples"]) >= 3
    # Where it hung, and where it faulted.
    text = result.stdout.str()
    assert text.count('deadly.py", line') >= 2
    cases = ElementTree.parse(suite.path / "j.xml").iter("testcase")
    failed = [one.get("name") for one in cases if one.find("failure") is not None]
    assert failed == [f"test_latency[local/{name}-fp32-b1]" for name in ENDS]
    assert nothing_is_left(suite)
    child = int((suite.path / "child.txt").read_text(encoding="utf-8"))
    assert (
        not Path(f"/proc/{child}/cmdline").exists()
        or not Path(f"/proc/{child}/cmdline").read_bytes()
    )


def test_workers_of_xdist_and_processes_that_measure_are_as_safe(suite: pytest.Pytester) -> None:
    names = ("Faults", "Hangs", "Last")
    result = run_deadly(suite, "-n", "1", "--archbench-processes=2", names=names)
    result.assert_outcomes(passed=1, failed=2)
    found = cells(suite)
    for name, how in (
        ("Faults", "its process died of signal 11 (Segmentation fault)"),
        ("Hangs", "had not ended after 20 s, and was taken to hang"),
    ):
        (verdict,) = found[name]["verdicts"]
        assert verdict["status"] == "crashed"
        assert how in verdict["sentence"]
    assert len(found["Last"]["metrics"]["latency"]["process_runs"]) == 2
    assert nothing_is_left(suite)


@pytest.mark.usefixtures("judged_on_a_busy_machine")
def test_a_paired_comparison_is_as_safe(suite: pytest.Pytester) -> None:
    names = ("Hangs", "Last")
    rules = RULES.replace("process_runs = 1", "process_runs = 1\nmost_process_runs = 1")
    (suite.path / "archbench.toml").write_text(rules, encoding="utf-8")
    result = run_deadly(suite, "--archbench-against=batch-size=2", names=names)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = cells(suite)
    # Which of the two batch sizes is faster for each image is not for this test to say.
    assert len(found["Last"]["metrics"]["latency"]["samples"]) > 1
    (verdict,) = found["Hangs"]["verdicts"]
    assert (verdict["status"], verdict["reason"]) == ("crashed", "hung")
    assert "its process hangs: nothing was said for 20 s" in verdict["sentence"]
    assert nothing_is_left(suite)


PLUGIN = """
    import pytest

    @pytest.fixture
    def theirs():
        return 7

    def pytest_collection_modifyitems(items):
        items[:] = [item for item in items if "left_out" not in item.name]
"""


@pytest.mark.parametrize("more", [(), ("--archbench-processes=2",)], ids=["cells", "times"])
def test_the_projects_configuration_holds_in_workers(
    suite: pytest.Pytester, more: tuple[str, ...]
) -> None:
    suite.makepyfile(
        theirs=PLUGIN,
        **{
            "test_bench": """
            def test_latency(bench, loaded_model, theirs, pytestconfig):
                assert theirs == 7
                assert pytestconfig.getini("markers")[0] == "ours: one of ours"
                assert pytestconfig.option.importmode == "importlib"
                assert not pytestconfig.option.maxfail
                bench.latency(loaded_model)

            def test_left_out(bench, loaded_model):
                bench.latency(loaded_model)
            """,
        },
    )
    suite.makeini(
        """
        [pytest]
        markers = ours: one of ours
        addopts = -p theirs --import-mode=importlib -x --junitxml=j.xml -p no:cacheprovider
            --strict-config
        pythonpath = .
        """
    )
    result = suite.runpytest_subprocess(
        "test_bench.py", *QUICK, *more, "--archbench-models=small_net.py:small"
    )
    result.assert_outcomes(passed=1)
    (case,) = ElementTree.parse(suite.path / "j.xml").iter("testcase")
    assert case.get("name") == "test_latency[local/small-fp32-b1]"


def test_what_tests_say_arrives(suite: pytest.Pytester) -> None:
    """Warnings, what is printed with -s, properties; and who stops the run."""
    suite.makepyfile(
        test_bench="""
        import os
        import warnings
        import pytest

        def test_one(bench, model_spec, record_property):
            print("printed there")
            with pytest.raises(RuntimeError, match="Run with --pdb"):
                breakpoint()
            warnings.warn("this is odd", FutureWarning)
            record_property("process", os.getpid())
            pytest.skip("asked for")

        def test_two(bench, model_spec, request):
            request.session.shouldstop = "enough"

        def test_three(bench, model_spec):
            pass

        def test_four():
            pass
        """
    )
    result = suite.runpytest_subprocess(
        "test_bench.py", *QUICK, "-s", "-rs", "--junitxml=j.xml",
        "--archbench-models=small_net.py:small",
    )  # fmt: skip
    result.assert_outcomes(passed=1, skipped=1, warnings=1)
    result.stdout.fnmatch_lines(["printed there", "*FutureWarning: this is odd", "*: asked for"])
    result.stdout.fnmatch_lines(["*enough*"])
    (process,) = (
        one.get("value")
        for one in ElementTree.parse(suite.path / "j.xml").iter("property")
        if one.get("name") == "process"
    )
    assert str(process).isdigit()


def test_a_worker_makes_no_summary_and_ends_in_order(suite: pytest.Pytester) -> None:
    suite.makeconftest(
        """
        import atexit, os

        def note(what):
            with open("noted", "a") as file:
                print(what, os.getpid(), file=file)

        atexit.register(note, "exit")

        def pytest_terminal_summary():
            note("summary")

        def pytest_sessionfinish():
            note("finish")
        """
    )
    suite.makepyfile(test_bench="def test_one(bench, model_spec): pass")
    suite.runpytest_subprocess(
        "test_bench.py", *QUICK, "--archbench-models=small_net.py:small"
    ).assert_outcomes(passed=1)
    noted: dict[str, list[str]] = {}
    for line in (suite.path / "noted").read_text().splitlines():
        what, process = line.split()
        noted.setdefault(process, []).append(what)
    assert sorted(noted.values()) == [["finish", "exit"], ["finish", "summary", "exit"]]


def test_a_test_that_has_another_id_in_each_process_runs_where_it_was_found(
    suite: pytest.Pytester,
) -> None:
    suite.makepyfile(
        test_bench="""
        import os
        import pytest

        @pytest.mark.parametrize("number", [os.getpid()])
        def test_complexity(bench, model_spec, number):
            assert number == os.getpid()
            bench.complexity(model_spec)
        """
    )
    result = suite.runpytest_subprocess(
        "test_bench.py", *QUICK, "--archbench-models=small_net.py:small"
    )
    result.assert_outcomes(passed=1)


def test_a_worker_that_does_not_come_up_is_one_sentence(suite: pytest.Pytester) -> None:
    suite.makeconftest(
        """
        def pytest_configure(config):
            if config.option.archbench_order:
                raise OSError("not twice")
        """
    )
    result = suite.runpytest_subprocess(
        "test_bench.py", *QUICK, "--archbench-models=small_net.py:small"
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*the process that is to run the tests did not come up: *"])
    result.stderr.fnmatch_lines(["*not twice*"])


@pytest.mark.parametrize(
    ("nodeid", "options", "seconds"),
    [
        # 300 s and 20 for each of the budget's 2; a count passes nothing.
        ("t.py::test_complexity[timm/vgg16]", {}, 340),
        # 30 passes of 10 GMACs at 2 GMACs/s are 150 s; vgg16 has 15,470,264,320 of them.
        ("t.py::test_latency[local/net-fp32-b1]", {}, 490),
        ("t.py::test_latency[local/net-fp32-b4]", {"time_budget": 10.0}, 300 + 200 + 600),
        ("t.py::test_latency[torchvision/vgg16-fp32-b2]", {}, 340 + 464.1079296),
        (
            "t.py::test_latency[local/net-fp32-b1-compiled]",
            {"configs": (RunConfig(runtime="compiled"),)},
            2290,
        ),
        (
            "t.py::test_latency[local/net-fp32-bmax]",
            {"configs": (RunConfig(batch_size=None, largest_batch=True),)},
            2290,
        ),
        ("t.py::test_latency[local/net-fp32-b1]", {"cell_timeout": 7.0}, 7),
    ],
)
def test_a_test_may_take_far_longer_than_it_needs(
    nodeid: str, options: dict[str, Any], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "settings_of", lambda _: Settings(**options))
    config: Any = None
    assert starting.cell_timeout(config, nodeid) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, None),
        ({"usepdb": True}, "a debugger is asked for"),
        ({"trace": True}, "a debugger is asked for"),
        ({"setupshow": True}, "fixtures are to be shown"),
        ({"cov": True}, "coverage is measured"),
        ({"cov": True, "no_cov": True}, None),
        ({"plugins": ["theirs"]}, None),
        ({"plugins": [object()]}, "plugins are objects of this process"),
    ],
)
def test_who_looks_into_the_process_sees_tests_run_there(
    options: dict[str, Any], why: str | None
) -> None:
    options = {"usepdb": False, "trace": False, "cov": False, "plugins": (), **options}
    config: Any = SimpleNamespace(
        option=SimpleNamespace(**options),
        pluginmanager=SimpleNamespace(has_plugin=lambda name: name == "_cov" and options["cov"]),
        invocation_params=SimpleNamespace(plugins=options["plugins"]),
    )
    assert why_here(config) == why


@pytest.mark.parametrize(
    ("workers", "fatal", "outcome"),
    [((), "Fatal", "failed"), (("-n", "1"), "Fatal", "failed"), ((), "AtOnce", "errors")],
    ids=["one process", "a worker", "while it is loaded"],
)
def test_the_cell_crashes_and_the_rest_goes_on(
    suite: pytest.Pytester, workers: tuple[str, ...], fatal: str, outcome: str
) -> None:
    result = run(suite, *workers, names=("Good", fatal, "Later"))
    result.assert_outcomes(passed=2, **{outcome: 1})
    found = cells(suite)
    (verdict,) = found[fatal]["verdicts"]
    assert (verdict["status"], verdict["reason"]) == ("crashed", "fatal-device-error")
    for name in ("Good", "Later"):
        assert len(found[name]["metrics"]["latency"]["samples"]) >= 3
        assert found[name]["metrics"]["peak_memory"]["value"] > 0
    result.stdout.fnmatch_lines(["*Later*"])
    assert "never reported" not in result.stdout.str()


def test_a_fatal_error_after_another(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        more="""
        from nets import Good, Fatal

        class Second(Fatal): pass
        class Third(Good): pass
        """
    )
    models = [f"--archbench-models=more.py:{name}" for name in ("Second", "Third")]
    result = run(suite, *models, names=("Fatal",))
    result.assert_outcomes(passed=1, failed=2)
    assert [v["reason"] for v in cells(suite)["Second"]["verdicts"]] == ["fatal-device-error"]
    assert "latency" in cells(suite)["Third"]["metrics"]


def test_a_process_that_dies_over_what_it_took_over(suite: pytest.Pytester) -> None:
    result = run(suite, names=("Fatal", "Deadly", "Later"))
    result.assert_outcomes(passed=1, failed=2)
    (verdict,) = cells(suite)["Deadly"]["verdicts"]
    assert (verdict["status"], verdict["reason"]) == ("crashed", "process-died")
    assert verdict["sentence"] == "its process died of signal 6 (Aborted)"
    assert "latency" in cells(suite)["Later"]["metrics"]


def test_it_stops_at_the_first_failure_if_that_is_asked_for(suite: pytest.Pytester) -> None:
    result = run(suite, "-x", names=("Fatal", "Later"))
    result.assert_outcomes(failed=1)
    assert "Later" not in cells(suite)


def test_process_runs_go_on_in_another_process_too(suite: pytest.Pytester) -> None:
    result = run(suite, "--archbench-processes=2", names=("Good", "Fatal", "Later"))
    result.assert_outcomes(passed=2, failed=1)
    found = cells(suite)
    for name in ("Good", "Later"):
        assert len(found[name]["metrics"]["latency"]["process_runs"]) == 2


BUSY = """
    import threading
    from small_net import Small

    class Innocent(Small):
        pass

    class Busy(Small):
        def forward(self, x):
            if threading.active_count() == 1:
                threading.Thread(target=work, daemon=True).start()
            return super().forward(x)

    def work():
        while True:
            sum(range(10_000))
"""


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one process", "a worker"])
def test_a_network_that_leaves_something_behind(
    suite: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    """The next network is measured in a fresh process, and so are the skips that it reports."""
    suite.makepyfile(
        busy=BUSY,
        test_bench="""
        import os
        import threading
        import pytest

        def test_latency(bench, loaded_model):
            bench.latency(loaded_model)
            with open("processes.txt", "a") as file:
                print(loaded_model.spec.name, os.getpid(), threading.active_count(), file=file)

        def test_skipped(bench, loaded_model):
            pytest.skip("asked for")
        """,
    )
    result = suite.runpytest_subprocess(
        "test_bench.py", *QUICK, "-rs", *workers,
        "--archbench-models=busy.py:Busy", "--archbench-models=busy.py:Innocent",
    )  # fmt: skip
    result.assert_outcomes(passed=2, skipped=2)
    result.stdout.fnmatch_lines(["SKIPPED*asked for"])
    lines = (suite.path / "processes.txt").read_text("utf-8").splitlines()
    (busy, at, threads), (innocent, elsewhere, alone) = (line.split() for line in lines)
    assert (busy, innocent) == ("Busy", "Innocent")
    assert at != elsewhere
    assert int(threads) > int(alone)


def test_pytest_xdists_names_are_those_of_the_worker_that_it_works_for(
    suite: pytest.Pytester,
) -> None:
    suite.makepyfile(
        test_named="""
        def note(kind, worker_id, testrun_uid):
            with open(f"{kind}-{worker_id}.txt", "w") as file:
                file.write(testrun_uid)

        def test_measured(bench, loaded_model, worker_id, testrun_uid):
            bench.latency(loaded_model)
            note("measured", worker_id, testrun_uid)

        def test_usual(worker_id, testrun_uid):
            note("usual", worker_id, testrun_uid)
        """
    )
    models = "--archbench-models=small_net.py:Small"
    result = suite.runpytest_subprocess("test_named.py", *QUICK, models, "-n", "1")
    result.assert_outcomes(passed=2)
    usual = (suite.path / "usual-gw0.txt").read_text(encoding="utf-8")
    assert (suite.path / "measured-gw0.txt").read_text(encoding="utf-8") == usual


def test_what_ends_the_run_from_a_worker_is_said_without_the_name_of_an_exception(
    suite: pytest.Pytester,
) -> None:
    suite.makepyfile(torchvision="raise RuntimeError('operator torchvision::nms does not exist')")
    result = suite.runpytest_subprocess(
        "test_bench.py", *QUICK, "-k", "latency", "--archbench-models=torchvision/squeezenet1_1"
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(
        ["!* archbench: torch * with torchvision *: torchvision cannot be imported (operator *"]
    )
    result.stdout.no_fnmatch_line("*outcomes.Exit*")
