"""Whole runs that measure accuracies, each an inner pytest."""

from __future__ import annotations

import json
import shutil
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archbench.core.lines import AccuracyLine
from archbench.store.baselines import read_baselines
from archbench.store.journal import read_run
from archbench.store.outcomes import read_outcomes

pytestmark = pytest.mark.usefixtures("preloaded_python")

QUICK = ("--archbench-time-budget=0.05", "--archbench-gpu=cpu")
SUITE = """
    def test_accuracy(bench, model_spec, accuracy_target):
        bench.accuracy(model_spec, accuracy_target)
"""
FINGERPRINT = """
    def test_fingerprint(bench, model_spec, accuracy_target):
        bench.fingerprint(model_spec, accuracy_target)
"""
OWN = """
    def pytest_archbench_models():
        import digits_net
        return [digits_net.spec({changes})]
"""


@pytest.fixture
def project(pytester: pytest.Pytester, digits: Any, digits_net: str) -> pytest.Pytester:
    """A project with the digits' network and its images."""
    pytester.makepyfile(digits_net=digits_net, test_evaluation=SUITE, test_fingerprint=FINGERPRINT)
    change_preprocessing(pytester)
    shutil.copytree(digits.images, pytester.path / "val")
    return pytester


def change_preprocessing(pytester: pytest.Pytester, changes: str = "") -> None:
    pytester.makeconftest(OWN.format(changes=changes))
    shutil.rmtree(pytester.path / "__pycache__", ignore_errors=True)


def run(
    pytester: pytest.Pytester, digits: Any, *options: str, subprocess: bool = False
) -> pytest.RunResult:
    start = pytester.runpytest_subprocess if subprocess else pytester.runpytest_inprocess
    return start(
        *(options if any(o.endswith(".py") for o in options) else ("test_evaluation.py", *options)),
        *QUICK,
        "--archbench-models=local/*",
        *(["--archbench-imagenet=val"] if (pytester.path / "val").exists() else []),
        *(
            []
            if any("weights=" in o for o in options)
            else [f"--archbench-weights={digits.state_dict}"]
        ),
    )


def cells(pytester: pytest.Pytester) -> list[dict[str, Any]]:
    """Of the last run's journal."""
    journal = max((pytester.path / ".archbench" / "runs").glob("*/journal.jsonl"))
    # Two runs within a second share their journal; the later lines count.
    return [cell.as_dict() for cell in read_run(journal).cells]


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one process", "a worker"])
def test_what_a_run_leaves(project: pytest.Pytester, digits: Any, workers: tuple[str, ...]) -> None:
    result = run(project, digits, *workers, subprocess=bool(workers))
    assert result.ret == 0
    right = int(digits.right[0].sum())
    (cell,) = cells(project)
    top1, top5 = cell["metrics"]["top1"], cell["metrics"]["top5"]
    assert top1["value"] == right / 5
    assert top1["unit"] == "%"
    assert top1["source"] == "measured"
    assert (top1["images"], top1["right"]) == (500, right)
    low, high = top1["interval"]
    assert low < top1["value"] < high
    assert top5["right"] == digits.right[1].sum()
    assert top1["weights"]["bytes"] == digits.state_dict.stat().st_size
    assert len(top1["weights"]["sha256"]) == 64
    assert top1["preprocessing"]["resize"] == 36
    assert top1["dataset"]["of"] == 500
    assert top1["dataset"]["seed"] is None
    assert cell["target"]["batch_size"] is None
    (directory,) = (project.path / ".archbench" / "runs").iterdir()
    stored = read_outcomes(directory / top1["outcomes"])
    bits = np.unpackbits(np.frombuffer(stored.outcomes["top1"].bits, np.uint8))[:500]
    assert (bits == digits.right[0]).all()
    # Nothing is left to take up again.
    assert not list((project.path / ".archbench" / "evaluations").glob("*"))
    result.stdout.re_match_lines(
        [
            rf"\[1/1\] local/digits fp32-bauto +top-1 {right / 5:.2f} %  top-5 .* images/s.*",
            r"architecture +library +top-1 % +± +top-5 % +top-1 %\* .*",
            rf"digits +local +{right / 5:.2f} +\d\.\d\d .*",
            r"Accuracy: 1 no-baseline; on 500 images, known to .* points or better \(95 %\).*",
        ]
    )


def test_without_images_it_is_not_measured(project: pytest.Pytester, digits: Any) -> None:
    shutil.rmtree(project.path / "val")
    result = run(project, digits, "-rs")
    result.assert_outcomes(skipped=1)
    # A run that measured nothing is red.
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*not-measured*",
            "Accuracy: 1 not measured: no images were given to measure it on; "
            "give --archbench-imagenet=DIR.",
            "SKIPPED*not-measured: no images were given*",
        ]
    )
    (cell,) = cells(project)
    (verdict,) = cell["verdicts"]
    assert (verdict["metric"], verdict["status"]) == ("top1", "not-measured")
    assert verdict["reason"] == "no-dataset"


def test_beside_other_tests_it_disturbs_nothing(project: pytest.Pytester, digits: Any) -> None:
    shutil.rmtree(project.path / "val")
    project.makepyfile(
        test_count="def test_count(bench, model_spec): bench.complexity(model_spec)",
        test_time="def test_time(bench, loaded_model): bench.latency(loaded_model)",
    )
    result = project.runpytest_inprocess(
        *QUICK, "--archbench-models=local/*", "--archbench-batch-size=1,2"
    )
    result.assert_outcomes(passed=4, skipped=1)
    assert result.ret == 0
    found = cells(project)
    assert [cell["target"]["batch_size"] for cell in found] == [1, 2]
    for cell in found:
        statuses = {(v["metric"], v["status"]) for v in cell["verdicts"]}
        assert statuses == {("complexity", "no-baseline"), ("latency", "no-baseline")}
        assert [note["code"] for note in cell["notes"]].count("accuracy-not-measured") == 1
    result.stdout.fnmatch_lines(["Accuracy: 2 not measured: *"])


def test_an_accuracy_joins_every_batch_size(project: pytest.Pytester, digits: Any) -> None:
    project.makepyfile(test_time="def test_time(bench, loaded_model): bench.latency(loaded_model)")
    result = run(
        project, digits, "test_evaluation.py", "test_time.py", "--archbench-batch-size=1,2"
    )
    result.assert_outcomes(passed=3)
    found = cells(project)
    assert [cell["target"]["batch_size"] for cell in found] == [1, 2]
    assert len({cell["metrics"]["top1"]["value"] for cell in found}) == 1


def accepted(project: pytest.Pytester, digits: Any) -> None:
    result = run(
        project, digits, "--archbench-baseline-update", "--archbench-baseline-reason=first"
    )
    assert result.ret == 0
    result.stdout.fnmatch_lines(["baselines/accuracy.jsonl: 1 added, 0 changed, 0 as they were."])


def test_the_gate_compares_image_by_image(project: pytest.Pytester, digits: Any) -> None:
    accepted(project, digits)
    (line,) = read_baselines(
        project.path / "baselines" / "accuracy.jsonl", AccuracyLine
    ).lines.values()
    assert line.top1.right == digits.right[0].sum()
    assert line.reason == "first"
    assert run(project, digits).ret == 0
    (cell,) = cells(project)
    assert [(v["metric"], v["status"], v["reason"]) for v in cell["verdicts"]] == [
        ("top1", "unchanged", "equal"), ("top5", "unchanged", "equal")
    ]  # fmt: skip


def test_damaged_preprocessing_turns_it_red(project: pytest.Pytester, digits: Any) -> None:
    accepted(project, digits)
    change_preprocessing(project, "mean=(0.9, 0.1, 0.5), crop_fraction=32 / 60")
    result = run(project, digits)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.re_match_lines(
        [
            r"regressed: local/digits fp32: top-1 9\d\.\d+ % -> .* images lost, .* gained of 500.*",
            r"Baseline: baselines/accuracy.jsonl:2, accepted .*: first\.",
            r"Since then: resize 36 -> 60; mean .*",
            r"If this is meant, run the same command with --archbench-baseline-update.",
        ]
    )


@pytest.mark.parametrize(
    ("faulty", "status", "reason"),
    [(6, "unchanged", "within-chance"), (40, "regressed", "less-accurate")],
)
def test_known_flips_are_counted_exactly(
    project: pytest.Pytester, digits: Any, faulty: int, status: str, reason: str
) -> None:
    accepted(project, digits)
    limit = float(np.sort(digits.brightness)[-faulty - 1 : -faulty + 1].mean())
    broken = digits.brightness > limit
    assert broken.sum() == faulty
    now = np.where(broken[:, None], np.roll(digits.scores, 1, 1), digits.scores)
    right = now.argmax(1) == digits.labels
    lost = int((digits.right[0] & ~right).sum())
    gained = int((~digits.right[0] & right).sum())
    change_preprocessing(project, f"limit={limit!r}")
    assert run(project, digits).ret == (0 if status == "unchanged" else 1)
    (cell,) = cells(project)
    verdict = cell["verdicts"][0]
    assert (verdict["status"], verdict["reason"]) == (status, reason)
    assert f"{lost:,} images lost, {gained:,} gained of 500" in verdict["sentence"]
    assert verdict["value"] == right.sum() / 5


def test_other_labels_are_other_images(project: pytest.Pytester, digits: Any) -> None:
    accepted(project, digits)
    path = next((project.path / "val" / "3").iterdir())
    path.rename(project.path / "val" / "4" / path.name)
    assert run(project, digits).ret == 0
    (cell,) = cells(project)
    assert {v["status"] for v in cell["verdicts"]} == {"not-comparable"}
    assert run(project, digits, "--archbench-strict").ret == 1


def test_the_confidence_is_the_projects(project: pytest.Pytester, digits: Any) -> None:
    accepted(project, digits)
    change_preprocessing(project, f"limit={float(np.sort(digits.brightness)[-8])!r}")
    assert run(project, digits).ret == 0
    tolerance = """
        [[tool.archbench.tolerance]]
        metric = "top1"
        confidence = 0.9
    """
    (project.path / "pyproject.toml").write_text(textwrap.dedent(tolerance), encoding="utf-8")
    assert run(project, digits).ret == 1


def test_a_budget_on_accuracy(project: pytest.Pytester, digits: Any) -> None:
    budget = '[[tool.archbench.budget]]\nlimit = "top1 >= 99.5 %"\n'
    (project.path / "pyproject.toml").write_text(budget, encoding="utf-8")
    result = run(project, digits)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*top1*99.5*"])


def test_a_sample_is_the_same_in_every_run(project: pytest.Pytester, digits: Any) -> None:
    digests = set()
    for _ in range(2):
        run(project, digits, "--archbench-accuracy-samples=100")
        (cell,) = cells(project)
        top1 = cell["metrics"]["top1"]
        assert top1["images"] == 100
        assert (top1["dataset"]["sample"], top1["dataset"]["of"]) == (100, 500)
        assert top1["dataset"]["classes"] == 10
        assert top1["dataset"]["seed"] == 20120926
        digests.add(top1["digest"])
    assert len(digests) == 1


@pytest.fixture
def interrupted(project: pytest.Pytester) -> pytest.Pytester:
    """A project whose second test ends the run, as long as there is no file ``again``."""
    project.makeconftest(
        """
        import dataclasses, digits_net

        def pytest_archbench_models():
            spec = digits_net.spec()
            return [spec, dataclasses.replace(spec, name="second")]
        """
    )
    project.makepyfile(
        test_evaluation="""
        import pathlib

        def test_accuracy(bench, model_spec, accuracy_target):
            if model_spec.name == "second" and not pathlib.Path("again").exists():
                raise KeyboardInterrupt
            bench.accuracy(model_spec, accuracy_target)
        """
    )
    return project


def test_an_interrupted_run_is_taken_up(interrupted: pytest.Pytester, digits: Any) -> None:
    project = interrupted
    assert run(project, digits, subprocess=True).ret == pytest.ExitCode.INTERRUPTED
    assert len(list((project.path / ".archbench" / "evaluations").glob("*.json"))) == 1
    (project.path / "again").touch()
    result = run(project, digits, subprocess=True)
    assert result.ret == 0
    first, second = cells(project)
    assert first["metrics"]["top1"]["taken_up"]
    assert "taken_up" not in second["metrics"]["top1"]
    assert first["metrics"]["top1"]["right"] == digits.right[0].sum()
    result.stdout.fnmatch_lines(
        ["  local/digits: evaluated by an earlier run that did not reach its end."]
    )
    assert not list((project.path / ".archbench" / "evaluations").glob("*"))


def test_other_images_or_weights_are_of_another_run(
    interrupted: pytest.Pytester, digits: Any
) -> None:
    weights = interrupted.path / "w.pt"
    shutil.copy(digits.state_dict, weights)
    given = (interrupted, digits, "--archbench-weights=w.pt")
    assert run(*given, subprocess=True).ret == pytest.ExitCode.INTERRUPTED
    (interrupted.path / "again").touch()
    image = next((interrupted.path / "val" / "3").iterdir())
    elsewhere = image.rename(interrupted.path / "val" / "4" / image.name)
    result = run(*given, "--archbench-resume")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*: sources.images was '*' and is '*' now, *"])
    elsewhere.rename(image)
    with weights.open("ab") as file:
        file.write(b"0")
    result = run(*given, "--archbench-resume")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*: sources.w.pt was '*' and is '*' now, *"])
    shutil.copy(digits.state_dict, weights)
    assert run(*given, "--archbench-resume").ret == 0
    assert len(cells(interrupted)) == 2


def test_another_network_is_not_taken_up(project: pytest.Pytester, digits: Any) -> None:
    """What an interrupted run left belongs to the code and weights that made it."""
    project.makepyfile(
        test_evaluation="""
        import pathlib

        def test_accuracy(bench, model_spec, accuracy_target):
            bench.accuracy(model_spec, accuracy_target)
            if not pathlib.Path("again").exists():
                raise KeyboardInterrupt
        """
    )
    assert run(project, digits, subprocess=True).ret == pytest.ExitCode.INTERRUPTED
    (project.path / "again").touch()
    change_preprocessing(project, "mean=(0.3, 0.4, 0.6)")
    run(project, digits, subprocess=True)
    (cell,) = cells(project)
    assert "taken_up" not in cell["metrics"]["top1"]


# Fingerprints, which need no images.


def test_a_fingerprint_guards_what_has_no_images(project: pytest.Pytester, digits: Any) -> None:
    shutil.rmtree(project.path / "val")
    options = ("test_fingerprint.py", "--archbench-weights=none")
    result = run(project, digits, *options)
    (cell,) = cells(project)
    (verdict,) = cell["verdicts"]
    assert (verdict["status"], verdict["reason"]) == ("no-baseline", "no-fingerprint")
    result = run(project, digits, *options, "--archbench-baseline-update")
    result.stdout.fnmatch_lines(["baselines/fingerprints.jsonl: 1 added, *"])
    assert run(project, digits, *options).ret == 0
    change_preprocessing(project, "interpolation='nearest'")
    result = run(project, digits, *options)
    assert result.ret == 1
    result.stdout.re_match_lines(
        [
            r"changed: local/digits fp32: preprocessing has changed: its input differs by .*",
            r"Baseline: baselines/fingerprints.jsonl:2, accepted .*",
            r"Since then: interpolation bilinear -> nearest\.",
            r"Fingerprints: 1 changed\.",
        ]
    )
    change_preprocessing(project, "limit=-100.0")
    result = run(project, digits, *options)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*scores have changed: its output differs by *"])


def test_a_fingerprint_of_other_weights(project: pytest.Pytester, digits: Any) -> None:
    run(project, digits, "test_fingerprint.py", "--archbench-baseline-update")
    result = run(project, digits, "test_fingerprint.py", "--archbench-weights=none")
    assert result.ret == 0
    (cell,) = cells(project)
    assert cell["verdicts"][0]["reason"] == "other-weights"


def test_a_required_fingerprint(project: pytest.Pytester, digits: Any) -> None:
    """Where the project has some."""
    required = ("test_fingerprint.py", "--archbench-baseline-required")
    run(project, digits, *required).assert_outcomes(passed=1)
    run(project, digits, "test_fingerprint.py", "--archbench-baseline-update")
    result = run(project, digits, *required, "--archbench-dtype=bf16")
    result.assert_outcomes(failed=1)


UNSTEADY = """
    import torch
    from torch import nn

    class Drawing(nn.Linear):
        def __init__(self):
            super().__init__(3, 10)

        def forward(self, x):
            x = x.mean((2, 3))
            return super().forward(x + torch.randn_like(x))

    class Infinite(Drawing):
        def forward(self, x):
            return nn.Linear.forward(self, x.mean((2, 3))) / 0
"""


def test_what_does_not_repeat_is_accepted_as_no_fingerprint(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(nets=UNSTEADY, test_fingerprint=FINGERPRINT)
    options = (*QUICK, "--archbench-models=nets.py:Drawing@32,nets.py:Infinite@32")
    result = pytester.runpytest_inprocess(*options, "--archbench-baseline-update")
    result.assert_outcomes(failed=2)
    result.stdout.re_match_lines_random(
        [
            r"not-measured: local/Drawing@32: its scores differ by .* of their spread when it .*",
            r"not-measured: local/Infinite@32 returned scores that are not finite in fp32",
        ]
    )
    assert not (pytester.path / "baselines").exists()
    # Without one nothing is run, which is said, and a run that measured nothing is red.
    result = pytester.runpytest_inprocess(*options)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "Fingerprints: 2 no-baseline, which were not run.",
            "  Accept what has no baseline: the same command with --archbench-baseline-update=new",
        ]
    )


OTHER_INPUTS = """
    import torch
    from archbench import ModelSpec

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(3, 10)

        def forward(self, x, *more):
            return self.fc(x.flatten(1)[:, :3])

    def pytest_archbench_models():
        sizes = {"grey": (1, 8, 8), "channels_last": (8, 8, 3), "sound": (1, 16)}
        return [
            *(ModelSpec.of(Net, name=name, input_size=size) for name, size in sizes.items()),
            ModelSpec.of(Net, name="two", inputs=[(3, 8, 8), (2,)]),
        ]
"""


def test_networks_that_take_no_rgb_images_are_shown_none(
    project: pytest.Pytester, digits: Any
) -> None:
    project.makeconftest(OTHER_INPUTS)
    result = run(
        project, digits, "--archbench-weights=none", "--archbench-baseline-update", "-rs",
        "test_evaluation.py", "test_fingerprint.py",
    )  # fmt: skip
    result.assert_outcomes(failed=4, skipped=4)
    result.stdout.fnmatch_lines_random(
        [
            "not-measured: local/channels_last takes inputs of (8, 8, 3), and images on disk are *",
            "not-measured: local/sound takes inputs of (1, 16), and images on disk are RGB",
            "SKIPPED * local/grey takes inputs of (1, 8, 8), and a fingerprint is of pictures",
            "SKIPPED * local/two takes inputs of its own, and a fingerprint is of pictures",
        ]
    )
    assert not (project.path / "baselines").exists()


# Bad input.


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--archbench-imagenet=nowhere"], "*there is no such file or directory*"),
        (["--archbench-imagenet=empty"], "*there is no image in it*"),
        (["--archbench-imagenet=one"], "*all images are of one class, 7*"),
        (["--archbench-accuracy-samples=20"], "*there are no images to take a sample of*"),
        (
            ["--archbench-imagenet=val", "--archbench-accuracy-samples=501"],
            "*has 500 images. Ask for fewer*",
        ),
        (
            ["--archbench-resize=200", "--archbench-crop=224"],
            "*--archbench-resize=200 --archbench-crop=224: the crop is larger*",
        ),
        (
            ["--archbench-imagenet=val", "--archbench-weights=nowhere.pth"],
            "*there is no such file*",
        ),
    ],
)
def test_requests_that_cannot_be_served(
    project: pytest.Pytester, options: list[str], said: str
) -> None:
    (project.path / "empty").mkdir()
    shutil.copytree(project.path / "val" / "7", project.path / "one" / "7")
    result = project.runpytest_subprocess(
        "test_evaluation.py", *QUICK, "--archbench-models=local/*", *options
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (result.stderr if "ERROR" in str(result.stderr) else result.stdout).fnmatch_lines([said])


def test_a_pickle_with_code_fails_the_test_and_runs_nothing(
    project: pytest.Pytester, digits: Any
) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (project.path / "harmed",)

    (project.path / "evil.pth").write_bytes(pickle.dumps({"2.weight": Evil()}))
    result = run(project, digits, "--archbench-weights=evil.pth")
    assert result.ret == 1
    assert not (project.path / "harmed").exists()
    (cell,) = cells(project)
    assert cell["verdicts"][0]["reason"] == "weights-hold-code"
    assert cell["verdicts"][0]["metric"] == "top1"


def test_damaged_outcomes_are_refused(project: pytest.Pytester, digits: Any) -> None:
    accepted(project, digits)
    path = project.path / "baselines" / "accuracy.jsonl"
    text = path.read_text(encoding="utf-8")
    header, line = text.splitlines()
    data = json.loads(line)
    data["top1"]["bits"] = "r" + "AAAA"
    path.write_text(f"{header}\n{json.dumps(data)}\n", encoding="utf-8")
    result = run(project, digits, subprocess=True)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*the outcomes of local/digits are damaged*"])
