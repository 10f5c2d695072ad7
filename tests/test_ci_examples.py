"""The examples of docs/ci.md and action.yml are what GitHub and GitLab take.

The schemas are those that GitHub and GitLab publish, as check-jsonschema carries them.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from archbench.cli.ci_files import CI_FILES, ci_text

pytestmark = pytest.mark.usefixtures("preloaded_python")

ROOT = Path(__file__).parents[1]
ACTION = ROOT / "action.yml"
PAGES = ("ci.md", "recipes.md", "scaling.md")
EXAMPLES = [
    (match["kind"], match["text"])
    for match in re.finditer(
        r"^```yaml\n(?P<text># (?P<kind>github|gitlab): .*?)^```",
        "".join((ROOT / "docs" / page).read_text("utf-8") for page in PAGES),
        re.MULTILINE | re.DOTALL,
    )
]
SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}
GITHUB = [text for kind, text in EXAMPLES if kind == "github"]


def load(text: str) -> dict[str, Any]:
    return YAML(typ="safe").load(text)


def lint(schema: str, path: Path) -> str:
    """What is wrong; empty where nothing is."""
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)],
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    return done.stdout if done.returncode else ""


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_there_are_examples_with_and_without_a_gpu() -> None:
    assert [kind for kind, _ in EXAMPLES].count("gitlab") == 3
    runners = {
        str(job["runs-on"]) for text in GITHUB for job in load(text)["jobs"].values()
    }  # fmt: skip
    assert runners == {"ubuntu-latest", "['self-hosted', 'linux', 'gpu']"}
    pages = "".join((ROOT / "docs" / page).read_text() for page in PAGES)
    assert len(re.findall("^```yaml", pages, re.M)) == len(EXAMPLES)


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_examples_match_the_schema(kind: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "ci.yml"
    path.write_text(text, encoding="utf-8")
    assert lint(SCHEMAS[kind], path) == ""


def slurm_directory(place: Path, resumes: bool) -> Path:
    """Where a job was submitted, which has begun before or not."""
    if resumes:
        journal = place / "part-7" / "2" / "runs" / "r" / "journal.jsonl"
        journal.parent.mkdir(parents=True)
        journal.touch()
    return place


def test_the_array_of_slurm_is_shell_and_says_which_shard(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "scaling.md").read_text("utf-8")
    (script,) = re.findall(r"^```bash\n(.*?)^```", page, re.M | re.S)
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert done.stderr == ""
    # Run as SLURM runs it, with a pytest that notes its arguments.
    for task, resumes in ((1, False), (2, True)):
        done = subprocess.run(
            ["bash", "-c", 'pytest() { printf "%s\\n" "$@"; }; exec() { "$@"; }\n' + script],
            cwd=ROOT, text=True, capture_output=True, check=True,
            env={
                "PATH": os.environ["PATH"],
                "SLURM_SUBMIT_DIR": str(slurm_directory(tmp_path, resumes)),
                "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(task),
                "SLURM_ARRAY_TASK_COUNT": "4",
            },
        )  # fmt: skip
        given = done.stdout.splitlines()
        assert f"--archbench-shard={task}/4" in given
        assert ("--archbench-resume" in given) is resumes
        assert f"--archbench-directory=part-7/{task}" in given
    directives = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", script, re.M))
    assert directives["array"] == "1-4"
    assert directives["signal"] == "B:TERM@120"


@pytest.mark.parametrize("system", CI_FILES)
def test_the_page_shows_what_init_writes(system: str) -> None:
    assert (system, f"# {system}: {CI_FILES[system]}\n{ci_text(system)}") in EXAMPLES


def test_the_front_page_shows_what_init_writes() -> None:
    place = CI_FILES["github"]
    shown = re.findall("^```yaml\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)
    assert shown == [f"# github: {place}\n{ci_text('github')}"]


def test_the_action_matches_the_schema() -> None:
    assert lint("vendor.github-actions", ACTION) == ""


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ("vendor.github-workflows", "on: push\njobs:\n  a:\n    steps: []\n"),
        ("vendor.gitlab-ci", "a:\n  script: 3\n"),
        ("vendor.github-actions", "name: a\ndescription: b\nruns:\n  using: composite\n"),
    ],
)
def test_the_schemas_find_mistakes(schema: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "ci.yml"
    path.write_text(text, encoding="utf-8")
    assert "errors were encountered" in lint(schema, path)


@pytest.mark.parametrize("text", GITHUB)
def test_examples_give_the_action_inputs_that_it_has(text: str) -> None:
    known = load(ACTION.read_text(encoding="utf-8"))["inputs"]
    for step in steps(load(text)):
        if "/pytest-archbench@" in step.get("uses", ""):
            assert step["with"].keys() <= known.keys()


def scripts() -> list[str]:
    found = [step["run"] for step in load(ACTION.read_text())["runs"]["steps"] if "run" in step]
    for kind, text in EXAMPLES:
        if kind == "github":
            found += [step["run"] for step in steps(load(text)) if "run" in step]
        else:
            for job in load(text).values():
                if isinstance(job, dict):
                    found += ["\n".join(job.get(key, [])) for key in ("before_script", "script")]
    return [script for script in found if script]


@pytest.mark.parametrize("script", scripts())
def test_scripts_are_shell_and_nothing_is_pasted_into_them(script: str) -> None:
    assert "${{" not in script, "an expression is text by the time that the shell reads it"
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert done.stderr == ""


# The action, run as GitHub runs it, with a Python that notes what it was called with.

HOSTILE = """'"; touch pwned; $(touch pwned) `touch pwned` && * \\ -x"""


def defaults() -> dict[str, str]:
    inputs = load(ACTION.read_text(encoding="utf-8"))["inputs"]
    return {name: given["default"] for name, given in inputs.items()}


def run_step(
    name: str, tmp_path: Path, inputs: dict[str, str], status: int = 0
) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """What became of a step, and the arguments of each call of Python, which ends with a status."""
    (step,) = (s for s in load(ACTION.read_text())["runs"]["steps"] if s.get("name") == name)
    given = {**defaults(), **inputs}
    environment = {
        variable: given[re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", text)[1]]  # type: ignore[index]
        for variable, text in step["env"].items()
    }
    called = tmp_path / "called"
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    note = (
        f"import json, sys; open({str(called)!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n'); "
        f"sys.exit({status})"
    )
    python.write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(note)} "$@"\n',
        encoding="utf-8",
    )
    python.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
        cwd=work, capture_output=True, text=True, check=False, timeout=900,
        env={
            **environment,
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_ACTION_PATH": str(tmp_path / "an action"),
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "RUNNER_TEMP": str(tmp_path / "a temp"),
        },
    )  # fmt: skip
    assert list(work.iterdir()) == [], "an input was run"
    calls = called.read_text(encoding="utf-8").splitlines() if called.exists() else []
    return done, [json.loads(call) for call in calls]


def test_install(tmp_path: Path) -> None:
    done, calls = run_step("Install", tmp_path, {"requirements": HOSTILE})
    assert done.returncode == 0, done.stderr
    assert calls == [
        [
            "-m", "pip", "install", "--disable-pip-version-check", str(tmp_path / "an action"),
            f"--requirement={HOSTILE}",
        ]
    ]  # fmt: skip


def test_install_without_the_libraries(tmp_path: Path) -> None:
    _, calls = run_step("Install", tmp_path, {"libraries": "false"})
    assert calls == [
        ["-m", "pip", "install", "--disable-pip-version-check", str(tmp_path / "an action/core")]
    ]


def test_run_by_default(tmp_path: Path) -> None:
    done, calls = run_step("Run", tmp_path, {})
    assert done.returncode == 0, done.stderr
    results = tmp_path / "a temp" / "archbench"
    assert calls == [
        [
            "-m", "pytest", f"--archbench-results={results}/results.json",
            f"--junitxml={results}/junit.xml", "--pyargs", "archbench.benchmarks",
        ]
    ]  # fmt: skip
    assert results.is_dir()
    assert (tmp_path / "output").read_text(encoding="utf-8") == (
        f"results={results}/results.json\njunit={results}/junit.xml\n"
    )


def test_inputs_are_words_and_never_shell(tmp_path: Path) -> None:
    done, calls = run_step(
        "Run",
        tmp_path,
        {
            "tests": f"benchmarks\n{HOSTILE}\n",
            "suite": HOSTILE,
            "models": f"timm/resnet*\n{HOSTILE}\n",
            "baseline-required": "true",
            "arguments": f"-n\n2\n\n{HOSTILE}",
        },
    )
    assert done.returncode == 0, done.stderr
    assert calls[0][4:] == [
        "benchmarks", HOSTILE, f"--archbench-suite={HOSTILE}", "--archbench-models=timm/resnet*",
        f"--archbench-models={HOSTILE}", "--archbench-baseline-required", "-n", "2", HOSTILE,
    ]  # fmt: skip


@pytest.mark.parametrize(("step", "flag"), [("Run", "baseline-required"), ("Install", "libraries")])
def test_a_flag_that_is_neither_true_nor_false_is_refused(
    step: str, flag: str, tmp_path: Path
) -> None:
    done, calls = run_step(step, tmp_path, {flag: "$(touch pwned)"})
    assert done.returncode == 4
    assert done.stdout.startswith(f"::error title=archbench::{flag} is neither true nor")
    assert calls == []


def test_the_exit_status_is_pytests(tmp_path: Path) -> None:
    done, _ = run_step("Run", tmp_path, {}, status=5)
    assert done.returncode == 5


def test_a_failed_installation_ends_the_step(tmp_path: Path) -> None:
    done, _ = run_step("Install", tmp_path, {}, status=1)
    assert done.returncode == 1
