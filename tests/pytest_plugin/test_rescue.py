"""A device that a test made unusable: what becomes of the rest of the run."""

from __future__ import annotations

import json
from typing import Any

import pytest

QUICK = ("--archbench-time-budget=0.05", "--archbench-gpu=cpu")

# The process that met the error can use "the device" no more; a fresh one can.
NETS = """
    import os
    from small_net import Small

    poisoned = []

    class Good(Small):
        def forward(self, x):
            if poisoned and not x.is_meta:
                raise RuntimeError("CUDA error: device-side assert triggered")
            return super().forward(x)

    class Poison(Small):
        passes = 3  # that go well: loading has its own

        def forward(self, x):
            if not x.is_meta:
                self.passes -= 1
                if self.passes < 0:
                    poisoned.append(1)
                    raise RuntimeError("CUDA error: device-side assert triggered")
            return super().forward(x)

    class AtOnce(Poison):
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


@pytest.mark.parametrize(
    ("workers", "poison", "outcome"),
    [((), "Poison", "failed"), (("-n", "1"), "Poison", "failed"), ((), "AtOnce", "errors")],
    ids=["one process", "a worker", "while it is loaded"],
)
def test_the_cell_crashes_and_the_rest_goes_on(
    suite: pytest.Pytester, workers: tuple[str, ...], poison: str, outcome: str
) -> None:
    result = run(suite, *workers, names=("Good", poison, "Later"))
    result.assert_outcomes(passed=2, **{outcome: 1})
    found = cells(suite)
    (verdict,) = found[poison]["verdicts"]
    assert (verdict["status"], verdict["reason"]) == ("crashed", "device-poisoned")
    for name in ("Good", "Later"):
        assert len(found[name]["metrics"]["latency"]["samples"]) >= 3
        assert found[name]["metrics"]["peak_memory"]["value"] > 0
    result.stdout.fnmatch_lines(["*Later*"])
    assert "never reported" not in result.stdout.str()


def test_poison_after_poison(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        more="""
        from nets import Good, Poison

        class Second(Poison): pass
        class Third(Good): pass
        """
    )
    models = [f"--archbench-models=more.py:{name}" for name in ("Second", "Third")]
    result = run(suite, *models, names=("Poison",))
    result.assert_outcomes(passed=1, failed=2)
    assert [v["reason"] for v in cells(suite)["Second"]["verdicts"]] == ["device-poisoned"]
    assert "latency" in cells(suite)["Third"]["metrics"]


def test_a_process_that_dies_over_what_it_took_over(suite: pytest.Pytester) -> None:
    result = run(suite, names=("Poison", "Deadly", "Later"))
    result.assert_outcomes(passed=1, failed=2)
    (verdict,) = cells(suite)["Deadly"]["verdicts"]
    assert (verdict["status"], verdict["reason"]) == ("crashed", "process-died")
    assert "ended over it with status -6" in verdict["sentence"]
    assert "latency" in cells(suite)["Later"]["metrics"]


def test_it_stops_at_the_first_failure_if_that_is_asked_for(suite: pytest.Pytester) -> None:
    result = run(suite, "-x", names=("Poison", "Later"))
    result.assert_outcomes(failed=1)
    assert "Later" not in cells(suite)


def test_launches_go_on_in_another_process_too(suite: pytest.Pytester) -> None:
    result = run(suite, "--archbench-launches=2", names=("Good", "Poison", "Later"))
    result.assert_outcomes(passed=2, failed=1)
    found = cells(suite)
    for name in ("Good", "Later"):
        assert len(found[name]["metrics"]["latency"]["launches"]) == 2


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
