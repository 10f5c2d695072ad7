"""Rules of a project as TOML, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from archbench.core.budgets import Budget, parse_budget_limit
from archbench.core.errors import UsageError
from archbench.core.rounds import ClockRule, default_rules
from archbench.core.selectors import Selector
from archbench.core.tolerances import Override, Rules
from archbench.store.configuration import Configuration, read_configuration

RULES = """
[tool.other]
key = 1

[tool.archbench]
preset = "strict"

[[tool.archbench.tolerance]]
metric = "latency"
architecture = "timm/resnet*"
device = "cpu-*"
dtype = "fp32"
relative = "5 %"
confidence = 0.999

[[tool.archbench.tolerance]]
metric = "peak_memory"
absolute = "4 MiB"

[[tool.archbench.budget]]
architecture = "local/*"
limit = "latency_p95 <= 10 ms"
batch_size = 1
threads = 2

[[tool.archbench.budget]]
limit = "params <= 5 M"
"""


def write(root: Path, text: str, name: str = "pyproject.toml") -> None:
    (root / name).write_text(text, encoding="utf-8")


def test_paired_comparisons(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        [[paired]]
        tolerated_change = "0.5 %"
        most_process_runs = 12

        [[paired]]
        architecture = "timm/vit*"
        device = "cpu*"
        clock = "wall"
        equivalence_margin = "20 %"
        """,
        "archbench.toml",
    )
    rules = read_configuration(tmp_path).rules
    cpu, wall = default_rules("cpu", 1)
    mine = replace(cpu.rule, tolerated_change=0.005, most_process_runs=12)
    assert rules.paired_rules("timm/resnet50", "cpu-amd-epyc", "fp32", "cpu", 1) == (
        ClockRule("cpu", mine),
        wall,
    )
    assert rules.paired_rules("timm/vit_b", "cpu-amd-epyc", "fp32", "cpu", 1) == (
        ClockRule("cpu", mine),
        ClockRule("wall", replace(wall.rule, equivalence_margin=0.2)),
    )
    # The first clock is the device's own.
    device = default_rules("cuda", 1)[0].rule
    assert rules.paired_rules("timm/vit_b", "h200", "fp32", "cuda", 1)[0] == ClockRule(
        "device", replace(device, tolerated_change=0.005, most_process_runs=12)
    )


def test_what_is_only_reported_of_a_paired_comparison(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        [[paired]]
        counts = "report"
        tolerated_change = "0.5 %"

        [[paired]]
        architecture = "timm/*"
        counts = "fail"
        new = "report"
        """,
        "archbench.toml",
    )
    rules = read_configuration(tmp_path).rules
    timm, own = (("timm/vit_b", "cpu", "fp32"), ("local/net", "cpu", "fp32"))
    assert [rules.reports("counts", *cell) for cell in (timm, own)] == [False, True]
    assert [rules.reports("new", *cell) for cell in (timm, own)] == [True, False]
    assert rules.paired_rules(*own, "cpu", 1)[0].rule.tolerated_change == 0.005
    assert not read_configuration(tmp_path / "elsewhere").rules.reports("new", *own)


def test_paired_comparisons_that_do_not_fit_together(tmp_path: Path) -> None:
    write(tmp_path, "[[paired]]\ntolerated_change = '5 %'\n", "archbench.toml")
    rules = read_configuration(tmp_path).rules
    # It is below what is excluded by the wall clock, which comes first with two threads.
    assert (
        rules.paired_rules("timm/vit_b", "cpu", "fp32", "cpu", 2)[0].rule.tolerated_change == 0.05
    )
    with pytest.raises(
        UsageError,
        match=r"rules of paired comparisons for timm/vit_b in fp32 on cpu: tolerated_change",
    ):
        rules.paired_rules("timm/vit_b", "cpu", "fp32", "cpu", 1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", RULES),
        ("archbench.toml", RULES.partition("[tool.archbench]")[2].replace("tool.archbench.", "")),
    ],
)
def test_read(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path, text, name)
    assert read_configuration(tmp_path) == Configuration(
        Rules(
            "strict",
            (
                Override("latency", Selector("timm/resnet*", "cpu-*", "fp32"), 0.05, 0.999),
                Override("peak_memory", absolute=4 * 2**20),
            ),
        ),
        (
            Budget(
                parse_budget_limit("latency_p95 <= 10 ms"),
                Selector("local/*"),
                1,
                2,
                f"{name}, budget 1",
            ),
            Budget(parse_budget_limit("params <= 5 M"), place=f"{name}, budget 2"),
        ),
        tmp_path / name,
    )


def test_a_projects_architectures(tmp_path: Path) -> None:
    write(tmp_path, "[tool.archbench]\nmodels = ['net.py:net@32', 'timm/resnet18']\n")
    assert read_configuration(tmp_path).models == ("net.py:net@32", "timm/resnet18")


@pytest.mark.parametrize("text", ["", "[project]\nname = 'x'\n", "[tool.archbench]\n", "tool = 1"])
def test_a_project_without_rules_has_the_default_ones(tmp_path: Path, text: str) -> None:
    assert read_configuration(tmp_path) == Configuration(Rules("default"), (), None)
    write(tmp_path, text)
    write(tmp_path, "", "archbench.toml")
    assert read_configuration(tmp_path) == Configuration(Rules("default"), (), None)


def test_rules_in_both_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path, '[tool.archbench]\npreset = "strict"\n')
    write(tmp_path, 'preset = "strict"\n', "archbench.toml")
    with pytest.raises(UsageError) as refused:
        read_configuration(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path / 'archbench.toml'} and [tool.archbench] of {tmp_path / 'pyproject.toml'}: "
        "both hold rules. Keep them in one of the two"
    )


@pytest.mark.parametrize(
    ("empty", "full"),
    [("pyproject.toml", "archbench.toml"), ("archbench.toml", "pyproject.toml")],
)
def test_a_file_without_rules_does_not_conflict(tmp_path: Path, empty: str, full: str) -> None:
    write(tmp_path, "", empty)
    write(tmp_path, 'preset = "lenient"' if full[0] == "a" else "tool.archbench.preset='lenient'",
          full)  # fmt: skip
    assert read_configuration(tmp_path).rules.preset == "lenient"


# What stands behind the file's name: an entry where it is one, the cause, what to write.
OWN = [
    (
        "presett = 'strict'",
        ": presett: there is no key 'presett'. "
        "Write 'preset'; keys are preset, store, tolerance, budget, paired, models",
    ),
    (
        "speed = 1",
        ": speed: there is no key 'speed'. Keys are preset, store, tolerance, budget, paired, "
        "models",
    ),
    (
        "[tool.archbench]\npreset = 'strict'",
        ": [tool]: the rules of archbench.toml stand at its top level. "
        "Leave 'tool.archbench' out of the names of its tables",
    ),
    (
        "preset = 'loose'",
        ": preset = 'loose': there is no preset 'loose'. "
        "Presets are strict, default, lenient",
    ),
    (
        "preset = 1",
        ": preset = 1: text is expected, found a whole number. "
        'Write for example preset = "default"',
    ),
    (
        "[budget]\nlimit = 'params <= 5 M'",
        ": budget: an array is expected, found a table. "
        "Write the header of each entry as [[budget]]",
    ),
    (
        "budget = ['params <= 5 M']",
        ", budget 1: a table is expected, found text. Write [[budget]]",
    ),
    (
        "[[budget]]\nlimit = 'params <= 5 M'\n[[budget]]\nlimits = 'macs <= 1 G'",
        ", budget 2: limits: there is no key 'limits'. Write 'limit'; keys are "
        "limit, architecture, device, dtype, batch_size, threads",
    ),
    (
        "[[budget]]\narchitecture = 'timm/*'",
        ', budget 1: it has no limit. Add for example limit = "latency_p95 <= 10 ms"',
    ),
    (
        "[[budget]]\nlimit = 10",
        ", budget 1: limit = 10: text is expected, found a whole number. "
        'Write for example limit = "latency_p95 <= 10 ms"',
    ),
    (
        "[[budget]]\nlimit = ['params <= 5 M']",
        ", budget 1: limit: text is expected, found an array. "
        'Write for example limit = "latency_p95 <= 10 ms"',
    ),
    (
        "[[budget]]\nlimit = 'params <= 5 MB'",
        ", budget 1: limit = 'params <= 5 MB': 'MB' is no unit of a number. "
        "Write a number as '5 M'; units are K, M, G",
    ),
    (
        "[[budget]]\nlimit = 'latency_p95 <= 10 ms'\nbatch_size = true",
        ", budget 1: batch_size = true: a whole number is expected, found true or false. "
        "Write for example batch_size = 1",
    ),
    (
        "[[budget]]\nlimit = 'latency_p95 <= 10 ms'\nthreads = 0",
        ", budget 1: threads = 0: it is at least 1. Write threads = 1",
    ),
    (
        "[[budget]]\nlimit = 'params <= 5 M'\ndevice = 'cpu*'",
        ", budget 1: device with 'params <= 5 M': params is counted, and the same whatever the "
        "device. Leave device out",
    ),
    (
        "[[budget]]\nlimit = 'latency_p50 <= 1 s'\narchitecture = 'tim/*'",
        ", budget 1: architecture = 'tim/*': there is no library 'tim'. "
        "Write 'timm'; libraries are timm, torchvision, pytorchcv, archbench, local",
    ),
    (
        "[[tolerance]]\nrelative = '5 %'",
        ', tolerance 1: it has no metric. Add for example metric = "latency"',
    ),
    (
        "[[tolerance]]\nmetric = 'latancy'\nrelative = '5 %'",
        ", tolerance 1: metric = 'latancy': there is no metric 'latancy'. Write 'latency'; "
        "metrics are latency, device_time, top1, top5, peak_memory, energy_per_image, "
        "process_memory, artefact_size",
    ),
    (
        "[[tolerance]]\nmetric = 'params'\nrelative = '5 %'",
        ", tolerance 1: metric = 'params': a count has no noise and is compared by equality, so "
        "it takes no tolerance. Accept a change that is meant with --baseline-update, or give the "
        "count a budget",
    ),
    (
        "[[tolerance]]\nmetric = 'latency'\nrelative = 0.05",
        ", tolerance 1: relative = 0.05: text is expected, found a number. "
        'Write for example relative = "5 %"',
    ),
    (
        "[[tolerance]]\nmetric = 'latency'\nrelative = '5'",
        ", tolerance 1: relative = '5': its unit is missing. "
        "Write a share as '5 %'; units are %",
    ),
    (
        "[[tolerance]]\nmetric = 'latency'\nconfidence = '99 %'",
        ", tolerance 1: confidence = '99 %': a number is expected, found text. "
        "Write for example confidence = 0.999",
    ),
    (
        "[[tolerance]]\nmetric = 'latency'\nconfidence = nan",
        ", tolerance 1: confidence = nan: it is a probability from 0.9 to 0.999999. "
        "Write for example confidence = 0.999",
    ),
    (
        "[[tolerance]]\nmetric = 'latency'\ndevice = 2020-01-01\nrelative = '5 %'",
        ", tolerance 1: device = 2020-01-01: text is expected, found a date or time. "
        'Write for example device = "cpu*"',
    ),
    (
        "[[tolerance]]\nmetric = 'latency'\nrelative = '5 %'\n"
        "[[tolerance]]\nmetric = 'latency'\nconfidence = 0.99\n"
        "[[tolerance]]\nmetric = 'latency'\nrelative = '6 %'",
        ", tolerance 3: tolerance 1 gives the same value for the same metric and cells. "
        "Delete one of them",
    ),
]  # fmt: skip

OWN += [
    (
        "[[paired]]\ndevice = 'cpu*'",
        ", paired 1: paired: nothing is given. Add for example tolerated_change = '1 %' or "
        "most_process_runs = 12",
    ),
    (
        "[[paired]]\ntolerated_change = 0.01",
        ", paired 1: tolerated_change = 0.01: text is expected, found a number. "
        'Write for example tolerated_change = "1 %"',
    ),
    (
        "[[paired]]\ntolerated_change = '1'",
        ", paired 1: tolerated_change = '1': its unit is missing. Write a share as '5 %'; "
        "units are %",
    ),
    (
        "[[paired]]\nclock = 'gpu'\ntolerated_change = '1 %'",
        ", paired 1: clock = 'gpu': there is no clock 'gpu'. "
        "Write 'cpu'; clocks are device, cpu, wall",
    ),
    (
        "[[paired]]\nclock = 'cpu'\ntolerated_change = '5 %'",
        ", paired 1: tolerated_change = '5 %': that makes no rule: tolerated_change 0.05 must lie "
        "below equivalence_margin 0.035. "
        "Give the values that have to fit together",
    ),
    (
        "[[paired]]\ncounts = 'ignore'",
        ", paired 1: counts = 'ignore': an exact figure that both sides have and that "
        "differs fails "
        "its test, or is reported and fails nothing. Write counts = 'report', or 'fail', which is "
        "what holds without it",
    ),
    (
        "[[paired]]\nnew = true",
        ", paired 1: new = true: text is expected, found true or false. "
        'Write for example new = "report"',
    ),
    (
        "[[paired]]\nclock = 'cpu'\nnew = 'report'",
        ", paired 1: new = 'report': it is about no clock, and the entry is about 'cpu'. "
        "Give it its own entry",
    ),
    (
        "[[paired]]\nnew = 'report'\n[[paired]]\nnew = 'fail'",
        ", paired 2: paired 1 gives the same value for the same clock and cells. Delete "
        "one of them",
    ),
    (
        "[[paired]]\nalpha = 2",
        ", paired 1: alpha = 2: that makes no rule: alpha 2 and beta 0.001 are probabilities. "
        "Give the values that have to fit together",
    ),
    (
        "[[paired]]\nprocess_runs = 12",
        ", paired 1: process_runs = 12: that makes no rule: 6 rounds, 12 of at most 8 "
        "process runs. "
        "Give the values that have to fit together",
    ),
    (
        "models = 'net.py:net'",
        ": models = 'net.py:net': an array is expected, found text. "
        'Write for example models = ["net.py:my_net"]',
    ),
    (
        "models = []",
        ": models: it is empty, and without it the seed suite is measured. "
        'Write for example models = ["net.py:my_net"], or leave it out',
    ),
    (
        "models = ['net.py:net', 3]",
        ": models: texts are expected in it, found a whole number. "
        'Write for example models = ["net.py:my_net"]',
    ),
    (
        "models = [' ']",
        ": models: texts are expected in it, found an empty text. "
        'Write for example models = ["net.py:my_net"]',
    ),
    (
        "[[paired]]\nprocess_runs = 0",
        ", paired 1: process_runs = 0: it is at least 1. Write process_runs = 1",
    ),
    (
        "[[paired]]\ntolerated_change = '1 %'\nequivalence_margin = '4 %'\n"
        "[[paired]]\ndtype = 'fp32'\nequivalence_margin = '5 %'\n"
        "[[paired]]\nequivalence_margin = '6 %'",
        ", paired 3: paired 1 gives the same value for the same clock and cells. Delete "
        "one of them",
    ),
]


@pytest.mark.parametrize(("text", "message"), OWN)
def test_refusals(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, text, "archbench.toml")
    with pytest.raises(UsageError) as refused:
        read_configuration(tmp_path)
    assert str(refused.value) == f"{tmp_path / 'archbench.toml'}{message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[tool]\narchbench = 1",
            ": a table is expected, found a whole number. Write [tool.archbench]",
        ),
        (
            "[tool.archbench]\nbudget = {}",
            ": budget: an array is expected, found a table. "
            "Write the header of each entry as [[tool.archbench.budget]]",
        ),
    ],
)
def test_refusals_name_the_tables_of_their_file(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, text)
    with pytest.raises(UsageError) as refused:
        read_configuration(tmp_path)
    assert str(refused.value) == f"{tmp_path / 'pyproject.toml'}{message}"


@pytest.mark.parametrize("content", [b"preset = ", b"preset = '\xff'", b"preset = 1\npreset = 2"])
def test_what_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "archbench.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        read_configuration(tmp_path)
    assert refused.value.asked == str(path)
    assert refused.value.found.startswith("it is not TOML: ")
    assert refused.value.todo == "Correct it there"


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "archbench.toml").mkdir()
    with pytest.raises(UsageError) as refused:
        read_configuration(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path / 'archbench.toml'}: it cannot be read (Is a directory). "
        "Make it a readable file"
    )


def test_the_project_itself_is_judged_by_the_rules_that_everybody_starts_with(
    tmp_path: Path,
) -> None:
    # Its pyproject.toml is long and has no table of ours.
    assert read_configuration(Path(__file__).parents[2]) == read_configuration(tmp_path)
    (tmp_path / "archbench.toml").write_text(
        "[[budget]]\nlimit = 'params <= 5 M'\n", encoding="utf-8"
    )
    assert read_configuration(Path(__file__).parents[2]) != read_configuration(tmp_path)
