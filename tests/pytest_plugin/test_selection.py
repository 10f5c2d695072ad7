"""Which architectures a run is about."""

from __future__ import annotations

import pytest

from archbench.pytest_plugin.sides import _models_named

pytestmark = pytest.mark.usefixtures("preloaded_python")

HOOK = """
    from archbench import ModelSpec

    def my_densenet(): ...

    def pytest_archbench_models():
        return [ModelSpec.of(my_densenet)]
"""


def selected(suite: pytest.Pytester, *arguments: str) -> list[str]:
    result = suite.runpytest_inprocess("--collect-only", "-q", "-k", "complexity", *arguments)
    assert result.ret == 0, result.stdout.str()
    lines = [line for line in result.outlines if "[" in line]
    return [line.partition("[")[2].rstrip("]") for line in lines]


def test_a_glob_finds_ones_own_and_the_catalogues(suite: pytest.Pytester) -> None:
    suite.makeconftest(HOOK)
    assert selected(suite, "--archbench-models=*densenet121") == [
        "pytorchcv/densenet121",
        "pytorchcv/ibn_densenet121",
        "timm/densenet121",
        "torchvision/densenet121",
    ]
    found = selected(suite, "--archbench-models=*densenet")
    assert found == ["local/my_densenet"]
    both = selected(suite, "--archbench-models=*densenet*")
    assert both[0] == "local/my_densenet"
    assert len(both) > 20


def test_a_suite_filters(suite: pytest.Pytester) -> None:
    suite.makeconftest(HOOK)
    only = ("--archbench-suite=paddleclas", "--archbench-models=local/my_densenet")
    assert selected(suite, *only) == ["local/my_densenet"]
    assert selected(suite, "--archbench-suite=paddleclas", "--archbench-models=vgg16") == [
        "torchvision/vgg16"
    ]
    assert len(selected(suite, "--archbench-suite=paddleclas")) == 9


def test_ones_own_are_what_a_run_is_about(suite: pytest.Pytester) -> None:
    assert len(selected(suite)) == 71
    suite.makeconftest(HOOK)
    assert selected(suite) == ["local/my_densenet"]


def test_the_configuration_says_what_a_run_is_about(suite: pytest.Pytester) -> None:
    suite.makefile(".toml", archbench="models = ['small_net.py:small@32', 'timm/resnet18']")
    suite.mkdir("below")
    listed = ["local/small@32", "timm/resnet18"]
    assert selected(suite) == listed
    assert selected(suite, "--archbench-models=local/*") == ["local/small@32"]
    assert len(selected(suite, "--archbench-suite=paddleclas")) == 2 + 8
    suite.makeconftest(HOOK)
    assert selected(suite) == ["local/my_densenet", *listed]


def test_the_configuration_is_read_from_the_root(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.makepyprojecttoml("[tool.archbench]\nmodels = ['small_net.py:small@32']")
    below = suite.mkdir("below")
    test = suite.path / "test_bench.py"
    monkeypatch.chdir(below)
    assert selected(suite, str(test)) == ["local/small@32"]


def test_the_other_version_is_asked_for_what_is_listed_here(suite: pytest.Pytester) -> None:
    suite.makefile(".toml", archbench="models = ['a=small_net.py:small@32', 'timm/resnet18']")
    assert _models_named(suite.parseconfigure()) == {
        "archbench_models": [f"a={suite.path}/small_net.py:small@32", "timm/resnet18"]
    }
    assert _models_named(suite.parseconfigure("--archbench-models=timm/resnet50")) == {}


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (
            "absent.py:net",
            "ERROR: models = {root}/absent.py:net: there is no file {root}/absent.py. "
            "Write models = path/to/file.py:constructor",
        ),
        ("small_net.py:larger", "defines no 'larger'; it has Small, small"),
        ("timm/resnet5O", "resnet50"),
    ],
)
def test_a_configuration_that_names_nothing(
    suite: pytest.Pytester, listed: str, message: str
) -> None:
    suite.makefile(".toml", archbench=f"models = ['{listed}']")
    result = suite.runpytest("--archbench-gpu=cpu")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message.format(root=suite.path) in "\n".join(result.outlines + result.errlines)


def test_ones_own_at_another_size(suite: pytest.Pytester) -> None:
    suite.makeconftest(HOOK)
    assert selected(suite, "--archbench-models=local/my_densenet@96") == ["local/my_densenet@96"]


def test_repeated_options_add_up(suite: pytest.Pytester) -> None:
    chosen = selected(suite, "--archbench-suite=paddleclas", "--archbench-suite=lightweight")
    assert len(chosen) == 18


def test_the_same_request_twice_is_one(suite: pytest.Pytester) -> None:
    request = "--archbench-models=small_net.py:small"
    assert selected(suite, request, f"{request}@224") == ["local/small"]


def test_a_tests_id_is_enough(suite: pytest.Pytester) -> None:
    nodeid = "test_bench.py::test_complexity[timm/resnet10t]"
    result = suite.runpytest_inprocess("--collect-only", "-q", nodeid)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["test_bench.py::test_complexity?timm/resnet10t?"])


def test_names_that_a_file_defines_in_branches(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        branched_net="""
        from typing import Callable

        try:
            import nothing_of_the_kind
        except ImportError:
            def inner(): ...

        annotated: Callable = print
        """
    )
    assert selected(
        suite, "--archbench-models=branched_net.py:inner,branched_net.py:annotated"
    ) == ["local/inner", "local/annotated"]


def test_what_lies_beside_the_file_can_be_imported_when_the_model_is_built(
    suite: pytest.Pytester,
) -> None:
    nets = suite.mkdir("nets")
    (nets / "sibling_width.py").write_text("WIDTH = 5\n", encoding="utf-8")
    (nets / "late_net.py").write_text(
        "def late():\n"
        "    from sibling_width import WIDTH\n"
        "    from torch import nn\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, WIDTH))\n",
        encoding="utf-8",
    )
    result = suite.runpytest_inprocess(
        "test_bench.py", "-k", "complexity", "--archbench-models=nets/late_net.py:late"
    )
    result.assert_outcomes(passed=1)


def test_a_suite_does_not_filter_a_file(suite: pytest.Pytester) -> None:
    result = suite.runpytest_inprocess(
        "--archbench-models=small_net.py:small@32", "--archbench-suite=paddleclas"
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: --archbench-models=small_net.py:small@32 with --archbench-suite: a suite "
            "filters names of the catalogue, and a file of networks is none. Leave *-suite out, or*"
        ]
    )


def test_below_a_project_its_rules_are_not_passed_over(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.makefile(".toml", archbench="models = ['small_net.py:small@32']")
    below = suite.mkdir("below")
    monkeypatch.chdir(below)
    where = ("../test_bench.py", "--collect-only", "-q", f"--rootdir={below}")
    # Without a repository nobody can say where the project ends.
    assert suite.runpytest_inprocess(*where).ret == 0
    suite.mkdir(".git")
    result = suite.runpytest_inprocess(*where)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            f"ERROR: a run in {below}: it has no rules of archbench's; {suite.path} has, in "
            f"archbench.toml. Run pytest in {suite.path}, or add --rootdir={suite.path}"
        ]
    )
    # A directory that is configured is a project of its own.
    (below / "pytest.ini").write_text("[pytest]", encoding="utf-8")
    assert suite.runpytest_inprocess(*where, "-c", "pytest.ini").ret == 0


@pytest.mark.parametrize("option", ["--rootdir={}", "-c={}/pytest.ini"])
def test_another_root_passes_no_rules_over(suite: pytest.Pytester, option: str) -> None:
    suite.makepyprojecttoml("[tool.archbench]\nmodels = ['small_net.py:small@32']")
    other = suite.mkdir("other")
    (other / "pytest.ini").write_text("[pytest]", encoding="utf-8")
    asked = ("test_bench.py", "--collect-only", "-q", option.format(other), "--archbench-gpu=cpu")
    result = suite.runpytest_inprocess(*asked)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            f"ERROR: a run in {other}: it has no rules of archbench's; {suite.path} has, in "
            f"pyproject.toml. Run pytest in {suite.path}, or add --rootdir={suite.path}"
        ]
    )
    if option.startswith("-c"):
        assert suite.runpytest_inprocess(*asked, f"--rootdir={suite.path}").ret == 0
