"""archbench in one run with other plugins of pytest, each really installed.

Each has an environment of its own over this one, made once and kept within it. Where a plugin
cannot be installed its test is skipped, unless ARCHBENCH_REQUIRE_PLUGINS=1. What that environment
has more is laid over this one: processes begin with everything else imported.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import sysconfig
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

QUICK = (
    "-p", "no:cacheprovider", "--archbench-time-budget=0.05", "--archbench-gpu=cpu",
    "--archbench-results=r.json",
)  # fmt: skip
COUNTED, TIMED = ("complexity", "no-baseline"), ("latency", "no-baseline")
PARAMS = 3 * 4 * 9 + 4 + 50


pytestmark = pytest.mark.usefixtures("preloaded_python")
PYTHON = sys.executable


def environment_with(plugin: str) -> Path:
    """The interpreter of an environment that has a plugin beside all that this one has.

    pip finds what is here already, as pytest, and installs what else the plugin requires.
    """
    version = importlib.metadata.version("pytest")
    place = Path(sys.prefix) / "beside" / f"{plugin}-pytest-{version}"
    python = place / "bin" / "python"
    place.parent.mkdir(exist_ok=True)
    with FileLock(f"{place}.lock"):
        if not (place / "installed").exists():
            _make(place)
            install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            done = subprocess.run(
                [str(python), *install, "--retries=1", plugin, f"pytest=={version}"],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                reason = f"{plugin} cannot be installed: {done.stderr.strip().splitlines()[-1:]}"
                if os.environ.get("ARCHBENCH_REQUIRE_PLUGINS") == "1":
                    pytest.fail(f"{reason}, and ARCHBENCH_REQUIRE_PLUGINS=1 asks for it")
                pytest.skip(reason)
            (place / "installed").touch()
    return python


def _make(place: Path) -> None:
    subprocess.run([PYTHON, "-m", "venv", "--clear", "--without-pip", place], check=True)
    here = Path(sysconfig.get_path("purelib"))
    # As a site of its own: what is here may name further places, as editable packages do.
    code = f"import site; site.addsitedir({str(here)!r})\n"
    (place / here.relative_to(sys.prefix) / "here.pth").write_text(code, encoding="utf-8")


Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run_beside(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the suite with a plugin: ``run_beside("pytest-cov", "Small", options=["--cov"])``."""

    def run(
        plugin: str, *names: str, options: tuple[str, ...] = (), fresh: bool = False
    ) -> pytest.RunResult:
        suite.makepyfile(nets=NETS)
        models = [f"--archbench-models=nets.py:{name}" for name in names]
        python = environment_with(plugin)
        if not fresh:
            here = Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
            monkeypatch.setenv("PYTHONPATH", str(python.parents[1] / here))
            python = Path(sys.executable)
        return suite.run(python, "-m", "pytest", "test_bench.py", *QUICK, *models, *options)

    return run


def cells(suite: pytest.Pytester) -> dict[str, Any]:
    found = json.loads((suite.path / "r.json").read_text(encoding="utf-8"))["cells"]
    by_name = {cell["id"].removeprefix("local/"): cell for cell in found}
    assert len(by_name) == len(found)
    return by_name


def verdicts(cell: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["metric"], one["status"]) for one in cell["verdicts"]]


def assert_whole(suite: pytest.Pytester, *names: str) -> None:
    """Counts and times of each, and of each one verdict."""
    found = cells(suite)
    assert set(found) == set(names)
    for cell in found.values():
        assert cell["metrics"]["params"]["value"] == PARAMS
        assert len(cell["metrics"]["latency"]["samples"]) >= 3
        assert sorted(verdicts(cell)) == [COUNTED, TIMED]


NETS = """
    import threading
    import time
    from pathlib import Path

    import pytest
    from small_net import Small

    class Other(Small):
        pass

    class Third(Small):
        pass

    class SlowToBuild(Small):
        def __init__(self):
            super().__init__()
            time.sleep(60)

    class SlowToRun(Small):
        def forward(self, x):
            if not x.is_meta:
                time.sleep(60)
            return super().forward(x)

    class SlowElsewhere(SlowToBuild):
        pass

    class Busy(Small):
        def forward(self, x):
            if threading.active_count() == 1:
                threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
            return super().forward(x)

    class Flaky(Small):
        def forward(self, x):
            if not x.is_meta and not Path("tried").exists():
                Path("tried").touch()
                raise RuntimeError("a flaw")
            return super().forward(x)

    class Broken(Small):
        def forward(self, x):
            if not x.is_meta:
                raise RuntimeError("another flaw")
            return super().forward(x)

    class Exits(Small):
        def forward(self, x):
            pytest.exit("enough", returncode=7)

    class Interrupts(Small):
        def forward(self, x):
            raise KeyboardInterrupt
"""


def test_timeout(suite: pytest.Pytester, run_beside: Run) -> None:
    suite.makeconftest(
        """
        import sys
        from pathlib import Path

        import pytest

        @pytest.hookimpl(optionalhook=True, tryfirst=True)
        def pytest_timeout_set_timer(item, settings):
            if item.config.option.archbench_order and not Path("imported").exists():
                needed = {"torch", "archbench.measure.cells"}
                Path("imported").write_text(" ".join(sorted(needed & set(sys.modules))))

        # What a busy machine delays is no time-out of these.
        def pytest_collection_modifyitems(items):
            for item in items:
                if "Slow" not in item.name:
                    item.add_marker(pytest.mark.timeout(100))
        """
    )
    # Each slow one in one test; after Busy a test goes to another process.
    twice = "SlowToBuild and latency or SlowToRun and complexity or SlowElsewhere and latency"
    names = ("Small", "SlowToBuild", "SlowToRun", "Busy", "SlowElsewhere")
    options = ("--timeout=5", "-k", f"not ({twice})")
    result = run_beside("pytest-timeout", *names, options=options, fresh=True)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=4, failed=2, errors=1, deselected=3)
    assert "INTERNALERROR" not in result.stdout.str()
    # torch that is cut off while it is imported is lost to the process: no time-out is on yet.
    imported = (suite.path / "imported").read_text(encoding="utf-8")
    assert imported == "archbench.measure.cells torch"
    found = cells(suite)
    assert verdicts(found["Small"]) == verdicts(found["Busy"]) == [COUNTED, TIMED]
    for name in names[1:3] + names[4:]:
        (verdict,) = found[name]["verdicts"]
        assert (verdict["status"], verdict["reason"]) == ("crashed", "test-failed")
        assert verdict["metric"] == ("latency" if name == "SlowToRun" else "complexity")
        assert verdict["sentence"] == "its test failed: Timeout (>5.0s) from pytest-timeout."
        assert not found[name]["metrics"]


@pytest.mark.parametrize(
    ("first", "name", "status"),
    [("Small", "Exits", 7), ("Busy", "Interrupts", 2)],
    ids=["here", "in the process that a test was handed to"],
)
def test_what_ends_the_run_ends_it_from_within_a_network_too(
    suite: pytest.Pytester, first: str, name: str, status: int
) -> None:
    suite.makepyfile(nets=NETS)
    models = [f"--archbench-models=nets.py:{one}" for one in (first, name, "Other")]
    result = suite.runpytest_subprocess("test_bench.py", *QUICK, *models, "-k", "complexity")
    assert result.ret == status
    assert list(cells(suite)) == [first]


def test_rerunfailures(suite: pytest.Pytester, run_beside: Run) -> None:
    result = run_beside(
        "pytest-rerunfailures", "Flaky", "Broken", "Small",
        options=("--reruns=1", "--junitxml=j.xml", "--benchmark-json=b.json"),
    )  # fmt: skip
    # Broken fails in both attempts of both tests.
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*1 failed, 4 passed, 1 error, 3 rerun in*"])
    assert "no figure" not in result.stdout.str()
    found = cells(suite)
    for name in ("Flaky", "Small"):
        assert sorted(verdicts(found[name])) == [COUNTED, TIMED]
        assert len(found[name]["metrics"]["latency"]["samples"]) >= 3
    crashed = [("complexity", "crashed"), ("latency", "crashed")]
    assert sorted(verdicts(found["Broken"])) == crashed
    assert "latency" not in found["Broken"]["metrics"]
    entries = json.loads((suite.path / "b.json").read_text(encoding="utf-8"))["benchmarks"]
    assert sorted(one["param"] for one in entries) == ["local/Flaky", "local/Small"]
    cases = ElementTree.parse(suite.path / "j.xml").iter("testcase")
    (case,) = (one for one in cases if one.get("name") == "test_latency[local/Flaky-fp32-b1]")
    said = [(one.get("name"), one.get("value")) for one in case.iter("property")]
    assert len(dict(said)) == len(said)
    assert dict(said)["verdict_latency"] == "no-baseline"


def test_repeat(suite: pytest.Pytester, run_beside: Run) -> None:
    """A repetition that failed is not hidden by one that did not."""
    suite.makeconftest(
        """
        from pathlib import Path

        import pytest

        @pytest.fixture
        def loaded_model(loaded_model):
            if loaded_model.spec.name == "Other" and not Path("tried").exists():
                Path("tried").touch()
                raise RuntimeError("a flaw")
            return loaded_model
        """
    )
    result = run_beside(
        "pytest-repeat", "Other", "Small", options=("--count=2", "--repeat-scope=session")
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=7, errors=1)
    assert "no figure" not in result.stdout.str()
    result.stdout.fnmatch_lines(["[[]1/2[]]*", "[[]2/2[]]*"])
    found = cells(suite)
    assert sorted(verdicts(found["Other"])) == [COUNTED, ("latency", "crashed")]
    assert "latency" not in found["Other"]["metrics"]
    assert sorted(verdicts(found["Small"])) == [COUNTED, TIMED]


def test_repeat_of_process_runs(suite: pytest.Pytester, run_beside: Run) -> None:
    """Fresh processes know the repetitions by the same ids."""
    options = ("--count=2", "--archbench-processes=2", "-k", "latency")
    run_beside("pytest-repeat", "Small", options=options).assert_outcomes(passed=2, deselected=2)
    (cell,) = cells(suite).values()
    assert len(cell["metrics"]["latency"]["process_runs"]) == 2
    assert verdicts(cell) == [TIMED]


def test_randomly(suite: pytest.Pytester, run_beside: Run) -> None:
    suite.makepyfile(
        small_net=(suite.path / "small_net.py").read_text(encoding="utf-8")
        + "\n\ninit = Small.__init__"
        "\ndef logged(self):"
        "\n    open('built', 'a').write(type(self).__name__ + ' ')"
        "\n    init(self)"
        "\nSmall.__init__ = logged"
    )
    names = ("Small", "Other", "Third")
    result = run_beside("pytest-randomly", *names)
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["Using --randomly-seed=*"])
    assert_whole(suite, *names)
    # In whatever order: the tests of one architecture are together, and it is built once for them.
    assert sorted((suite.path / "built").read_text(encoding="utf-8").split()) == sorted(names)


def test_forked(suite: pytest.Pytester, run_beside: Run) -> None:
    """Where it cannot run any test at all, as with pytest 9.2, a run with it is red."""
    suite.makepyfile(test_plain="def test_plain(): pass")
    python = environment_with("pytest-forked")
    plain = suite.run(python, "-m", "pytest", "test_plain.py", "--forked")
    result = run_beside("pytest-forked", "Small", options=("--forked",))
    if plain.ret == 0:
        result.assert_outcomes(passed=2)
        assert_whole(suite, "Small")
    else:
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.assert_outcomes(failed=2)
        assert verdicts(cells(suite)["Small"]) == [("latency", "crashed")]


def test_cov(suite: pytest.Pytester, run_beside: Run) -> None:
    options = ("--cov=.", "--cov-report=json")
    run_beside("pytest-cov", "Small", options=options).assert_outcomes(passed=2)
    assert_whole(suite, "Small")
    files = json.loads((suite.path / "coverage.json").read_text(encoding="utf-8"))["files"]
    # Its forward pass is covered, though no tracer looks on while it is timed.
    lines = (suite.path / "small_net.py").read_text(encoding="utf-8").splitlines()
    missing = [lines[number - 1].strip() for number in files["small_net.py"]["missing_lines"]]
    assert missing == ["return Small()"]


def test_sugar(suite: pytest.Pytester, run_beside: Run) -> None:
    result = run_beside("pytest-sugar", "Small", "Other", options=("--force-sugar",))
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*[[]1/2[]] local/Small*ms*", "*[[]2/2[]] local/Other*ms*"])
    result.stdout.fnmatch_lines(["Results (*", "*4 passed*"])
    assert_whole(suite, "Small", "Other")


def test_html(suite: pytest.Pytester, run_beside: Run) -> None:
    options = ("--html=h.html", "--self-contained-html")
    run_beside("pytest-html", "Small", options=options).assert_outcomes(passed=2)
    assert_whole(suite, "Small")
    page = (suite.path / "h.html").read_text(encoding="utf-8")
    assert "2 tests took" in page
    assert "test_latency[local/Small-fp32-b1]" in page


def test_codspeed(suite: pytest.Pytester, run_beside: Run) -> None:
    """It leaves out whatever is no benchmark, and ours are benchmarks."""
    suite.makepyfile(
        test_more="""
        def test_theirs(benchmark): benchmark(sum, [1, 2])
        def test_neither(): pass
        """
    )
    options = ("test_more.py", "--codspeed", "--codspeed-max-time=0.1")
    result = run_beside("pytest-codspeed", "Small", options=options)
    result.assert_outcomes(passed=3, deselected=1)
    result.stdout.fnmatch_lines(["*1 benchmarked*"])
    assert_whole(suite, "Small")
