"""Networks of a project's own through a whole run: each is what its file says, in any company."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("preloaded_python")

QUICK = ("--archbench-time-budget=0.02", "--archbench-gpu=cpu")

# Counts of these: convolution of a side k, 3 -> 8 channels with a bias; 8 -> 10 classes.
BLOCK = "from torch import nn\ndef block():\n    return nn.Conv2d(3, 8, {side})\n"
NET = (
    "from {where} import block\nfrom torch import nn\n"
    "def {name}():\n"
    "    return nn.Sequential(block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))\n"
)


def params_of(side: int) -> int:
    return 3 * 8 * side**2 + 8 + 8 * 10 + 10


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def params(suite: pytest.Pytester, *models: str, results: str = "r.json") -> dict[str, Any]:
    result = suite.runpytest_inprocess(
        "test_bench.py", *QUICK, f"--archbench-results={results}",
        *(f"--archbench-models={model}" for model in models),
    )  # fmt: skip
    assert result.ret == 0, result.stdout.str()
    cells = json.loads((suite.path / results).read_text(encoding="utf-8"))["cells"]
    assert all("latency" in cell["metrics"] for cell in cells)
    return {cell["id"]: cell["metrics"]["params"]["value"] for cell in cells}


def test_siblings_of_equal_names(suite: pytest.Pytester) -> None:
    """In two folders, as files and as packages, beside a module of the project's own tests."""
    write(suite.path / "blocks.py", BLOCK.format(side=1))
    suite.makeconftest("import blocks\nimport models.stem")
    write(suite.path / "models" / "__init__.py", "")
    write(suite.path / "models" / "stem.py", BLOCK.format(side=2))
    for folder, side in (("old", 3), ("new", 5)):
        here = suite.path / folder
        write(here / "blocks.py", BLOCK.format(side=side))
        write(here / "net.py", NET.format(where="blocks", name=f"net_{folder}"))
        write(here / "models" / "__init__.py", "")
        write(here / "models" / "stem.py", BLOCK.format(side=side + 1))
        write(here / "pack.py", NET.format(where="models.stem", name=f"pack_{folder}"))
    write(suite.path / "third" / "net.py", NET.format(where="blocks", name="net_third"))
    requests = [
        "old/net.py:net_old", "new/net.py:net_new", "new/pack.py:pack_new", "old/pack.py:pack_old",
        "third/net.py:net_third",
    ]  # fmt: skip
    right = {
        "local/net_old": params_of(3),
        "local/net_new": params_of(5),
        "local/pack_new": params_of(6),
        "local/pack_old": params_of(4),
        "local/net_third": params_of(1),  # it has none beside it: the project's
    }
    assert params(suite, *requests) == right
    assert params(suite, *reversed(requests)) == right


@pytest.mark.parametrize("own_first", [True, False])
def test_a_name_that_a_library_has(suite: pytest.Pytester, own_first: bool) -> None:
    suite.makepyfile(
        registers="""
        from timm.models import register_model
        from torch import nn

        @register_model
        def resnet18(pretrained=False, **kwargs):
            return nn.Sequential(
                nn.Conv2d(3, 8, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
            )
        """
    )
    requests = ["registers.py:resnet18", "timm/resnet18"]
    found = params(suite, *(requests if own_first else reversed(requests)))
    assert found == {"local/resnet18": params_of(8), "timm/resnet18": 11_689_512}


def test_two_networks_of_one_name_in_ones_own_parametrization(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_widths="""
        import pytest
        from small_net import Small
        from archbench import ModelSpec

        def net(width): ...

        @pytest.mark.parametrize(
            "model_spec", [ModelSpec.of(lambda: net(4), name="net"), ModelSpec.of(net, name="net")]
        )
        def test_it(bench, model_spec): ...
        """
    )
    result = suite.runpytest_inprocess("test_widths.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [one for one in result.errlines if "two architectures named local/net" in one]
    assert "test_widths.py" in line
    assert "give it a name: ModelSpec.of(constructor, name='...')" in line


def test_arguments_distinguish_two_networks(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_widths="""
        import functools
        import pytest
        from torch import nn
        from archbench import ModelSpec

        class Net(nn.Sequential):
            def __init__(self, width):
                super().__init__(
                    nn.Conv2d(3, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                    nn.Linear(width, 10),
                )

        SPECS = [ModelSpec.of(Net, kwargs={"width": 4}), ModelSpec.of(functools.partial(Net, 64))]

        @pytest.mark.parametrize(("model_spec", "width"), list(zip(SPECS, (4, 64))))
        def test_it(bench, model_spec, loaded_model, width):
            held = sum(p.numel() for p in loaded_model.module.parameters())
            assert bench.complexity(model_spec)["params"]["value"] == held == 38 * width + 10
        """
    )
    suite.runpytest_inprocess("test_widths.py", *QUICK).assert_outcomes(passed=2)


def test_values_that_are_equal_to_python_alone_are_networks_of_their_own(
    suite: pytest.Pytester,
) -> None:
    suite.makepyfile(
        kinds="""
        from torch import nn

        def net(width):
            channels = {int: 1, float: 64, bool: 8}[type(width)]
            return nn.Sequential(
                nn.Conv2d(3, channels, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                nn.Linear(channels, 10),
            )
        """
    )
    found = params(suite, *(f"kinds.py:net(width={value})@8" for value in ("1", "1.0", "True")))
    right = {"1": 1, "1.0": 64, "True": 8}
    assert found == {f"local/net(width={v})@8": 3 * c + c + 10 * c + 10 for v, c in right.items()}


def test_arguments_stand_in_baselines_and_tolerances(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        wide="""
        from torch import nn

        def wide(width=4, kinds=("a", "b")):
            return nn.Sequential(
                nn.Conv2d(3, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)
            )
        """
    )
    models = "--archbench-models=wide.py:wide(width=8, kinds=('c',))@16,wide.py:wide@1x9"
    counted = ("test_bench.py", "-k", "complexity", models)
    one = suite.runpytest_inprocess(*counted, "--archbench-baseline-update")
    one.assert_outcomes(passed=1, failed=1)  # no network for one channel
    lines = (suite.path / "baselines" / "complexity.jsonl").read_text("utf-8").splitlines()
    ids = [json.loads(line)["id"] for line in lines if "id" in json.loads(line)]
    assert ids == ["local/wide(kinds=(c,),width=8)@16"]
    path = suite.path / "wide.py"
    path.write_text(path.read_text("utf-8").replace("width, 10", "width, 11"), encoding="utf-8")
    suite.makepyprojecttoml(
        """
        [[tool.archbench.budget]]
        limit = "params <= 320"
        architecture = "local/wide(*width=8)*"
        """
    )
    changed = suite.runpytest_subprocess(*counted)  # a process imports a file once
    changed.stdout.fnmatch_lines(
        [
            "changed: local/wide(kinds=(c,),width=8)@16 differs from baselines/complexity.jsonl:2",
            "  params 314 -> 323 *",
            "regressed: local/wide(kinds=(c,),width=8)@16: params is 323, * params <= 320 *",
        ]
    )


def test_two_files_with_one_constructor_name(suite: pytest.Pytester) -> None:
    for folder, side in (("old", 3), ("new", 5)):
        write(suite.path / folder / "blocks.py", BLOCK.format(side=side))
        write(suite.path / folder / "net.py", NET.format(where="blocks", name="net"))
    both = ("old/net.py:net", "new/net.py:net")
    refused = suite.runpytest_inprocess(
        "test_bench.py", *(f"--archbench-models={one}" for one in both)
    )
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    assert "on a command line other=path/to/file.py:constructor" in refused.stderr.str()
    assert params(suite, "old/net.py:net", "newer=new/net.py:net@32") == {
        "local/net": params_of(3),
        "local/newer@32": params_of(5),
    }
    counted = ("test_bench.py", "-k", "complexity")
    suite.runpytest_inprocess(
        *counted, "--archbench-models=old/net.py:net", "--archbench-baseline-update"
    )
    other = suite.runpytest_inprocess(*counted, "--archbench-models=new/net.py:net")
    other.assert_outcomes(failed=1)
    other.stdout.fnmatch_lines(["Accepted with ./old/net.py, torch *; now ./new/net.py, torch *."])


def test_a_torch_that_cannot_be_imported(suite: pytest.Pytester) -> None:
    why = "libcudart.so.13: cannot open shared object file: No such file or directory"
    write(suite.path / "broken" / "torch" / "__init__.py", f"raise ImportError({why!r})")
    paths = [str(suite.path / "broken"), *sys.path]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "test_bench.py", "--archbench-models=timm/resnet18"],
        cwd=suite.path, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"torch: it cannot be imported: {why}. Install one that fits this machine" in output
    assert "INTERNALERROR" not in output
    assert "Traceback" not in output


def test_what_a_network_writes_is_no_part_of_a_document(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        loud="""
        import atexit, logging, os, sys
        from small_net import Small

        print("import")
        os.write(1, b"import by descriptor")
        logging.basicConfig(stream=sys.stdout, level=logging.DEBUG)
        logging.info("a line")
        atexit.register(print, "at exit")

        class Loud(Small):
            def forward(self, x):
                print("forward")
                os.write(1, b"forward by descriptor")
                os.system("echo from a child")
                return super().forward(x)
        """
    )
    done = subprocess.run(
        [sys.executable, "-m", "archbench", "summary", "loud.py:Loud@32", "--format=json"],
        cwd=suite.path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)
    for text in ("import by descriptor", "forward by descriptor", "from a child", "at exit"):
        assert text in done.stderr
