"""What the pictures and the page compute both, held together by one table of cases."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from archbench.core.fitting import fit_line
from archbench.core.pareto import pareto_front, upper_bound
from archbench.core.rows import Row, Value
from archbench.metrics import format_significant
from archbench.report import page
from archbench.report.page import page_data
from archbench.report.tables import Table

CASES = json.loads(Path(__file__).with_name("arithmetic.json").read_text(encoding="utf-8"))
ASSETS = Path(page.__file__).parent / "assets"


def points_of(case: dict[str, Any]) -> list[Row]:
    points = []
    for name, x, y, *more in case["points"]:
        kind, *ends = more or ["published"]
        figures = {
            case["x"]: Value(x, kind, "a test", *ends),
            case["y"]: Value(y, "published", "a test"),
        }
        points.append(Row(name, name, "timm", "A", values=figures))
    return points


def in_python(kind: str, case: dict[str, Any]) -> Any:
    if kind == "format_significant":
        return format_significant(case["value"], case["digits"])
    if kind == "fit_line":
        fit = fit_line(case["xs"], case["ys"])
        return fit and [fit.slope, fit.intercept, fit.correlation]
    if kind == "upper_bound":
        line = upper_bound(
            Row(str(n), str(n), "", "", values={
                "throughput": Value(x, "published", ""), "top1": Value(y, "published", "")
            })
            for n, (x, y) in enumerate(zip(case["xs"], case["ys"], strict=True))
        )  # fmt: skip
        return line and [line.slope, line.intercept]
    if kind == "pareto_front":
        front = pareto_front(points_of(case), case["x"], case["y"])
        undecided = [point.name for point, _ in front.undecided]
        return [sorted(point.name for point in front.members), sorted(undecided)]
    return Table(["a", "b"], [[case["value"], ""]]).print_as("csv").split("\n", 1)[1][:-1]


CODE = {
    "format_significant": "formatSignificant(CASE.value, CASE.digits)",
    "fit_line": "(f => f && [f.slope, f.intercept, f.correlation])(fitLine(CASE.xs, CASE.ys))",
    "upper_bound": "(f => f && [f.slope, f.intercept])(upperBound(CASE.xs, CASE.ys))",
    "pareto_front": "(f => [f.members, f.undecided].map((ps) => ps.map((p) => p.name).sort()))"
    "(paretoFront(ROWS, CASE.x, CASE.y))",
    "csv": "csvField(CASE.value)",
}
RUNNER = """
const { source, runs } = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(runs.map(({ data, code, given }) => require("vm").runInNewContext(
  `${source}; const CASE = ${JSON.stringify(given)}; ${code}`,
  { document: { getElementById: () => ({ textContent: JSON.stringify(data) }) } },
))));
"""


@cache
def in_script() -> dict[str, list[Any]]:
    """The answers of the page's own script, of all cases."""
    node = shutil.which("node")
    if node is None:
        if os.environ.get("ARCHBENCH_REQUIRE_BROWSER") == "1":
            pytest.fail("no node here, and ARCHBENCH_REQUIRE_BROWSER=1 asks for the script's tests")
        pytest.skip("no node here, which would run the page's script")
    runs = [
        {"data": page_data(points_of(case) if "points" in case else [], title=""),
         "code": CODE[kind], "given": case}
        for kind, cases in CASES.items()
        for case in cases
    ]  # fmt: skip
    source = "".join((ASSETS / name).read_text("utf-8") for name in ("figures.js", "judging.js"))
    done = subprocess.run(
        [node, "-e", RUNNER], input=json.dumps({"source": source, "runs": runs}),
        capture_output=True, text=True, check=True, timeout=900,
    )  # fmt: skip
    answers = iter(json.loads(done.stdout))
    return {kind: [next(answers) for _ in cases] for kind, cases in CASES.items()}


@pytest.mark.parametrize("where", ["python", "script"])
@pytest.mark.parametrize(
    ("kind", "number"), [(kind, n) for kind, cases in CASES.items() for n in range(len(cases))]
)
def test_case(kind: str, number: int, where: str) -> None:
    case = CASES[kind][number]
    found = in_python(kind, case) if where == "python" else in_script()[kind][number]
    if kind in ("format_significant", "csv"):
        assert found == case["text"]
    elif kind == "pareto_front":
        assert found == [case["members"], case["undecided"]]
    elif case["slope"] is None:
        assert found is None
    else:
        names = [name for name in ("slope", "intercept", "correlation") if name in case]
        assert found == pytest.approx([case[name] for name in names], abs=1e-4, rel=1e-4)
