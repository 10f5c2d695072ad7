"""The archbench command."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from archbench import __version__, cli
from archbench.catalog.lists import read_list
from archbench.core.lines import TimeLine
from archbench.models import libraries
from archbench.store.baselines import read_baselines, update_baselines
from tests.core.lines import time_line

pytestmark = pytest.mark.usefixtures("preloaded_python")

LISTINGS = Path(__file__).parents[1] / "listings"


def out(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(arguments) == 0
    return capsys.readouterr().out


def test_list_shows_the_seed_suite(capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, "list")
    assert "archbench/bn_alexnet" in text
    assert "BN-AlexNet" in text
    assert "71 architectures. * published, not measured here." in text


def test_list_ids_of_a_glob(capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, "list", "--suite=bianco", "--models=*densenet*", "--ids")
    assert text.splitlines() == [f"torchvision/densenet{n}" for n in (121, 161, 169, 201)]


@pytest.mark.parametrize("own", ["nets/net.py:my_net", "local/my_net"])
def test_list_has_no_network_of_ones_own(capsys: pytest.CaptureFixture[str], own: str) -> None:
    assert cli.main(["list", f"--models={own}"]) == 2
    named = own if ".py" in own else "path/to/net.py:constructor"
    assert capsys.readouterr().err == (
        f"archbench: archbench list --models={own}: it lists the catalogue, and that is a network "
        f"of your own. See what it is made of: archbench summary {named}; the cells of a run: "
        "pytest benchmarks --collect-only\n"
    )


def test_list_suites(capsys: pytest.CaptureFixture[str]) -> None:
    lines = out(capsys, "list", "--suites").splitlines()
    assert [line.split()[0] for line in lines] == [
        "seeds", "bertmoons", "canziani", "bianco", "lightweight", "paddleclas",
        "timm", "torchvision", "pytorchcv", "all",
    ]  # fmt: skip
    assert lines[1].split()[1] == "30"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "--suite=nothing"), "archbench: suite 'nothing'"),
        (("list", "--models=resnet5O"), "resnet50"),
        (("list", "--models="), "--models=: the value is empty. Give one, or leave it out"),
        (("list", "--suite="), "--suite=: the value is empty. Give one, or leave it out"),
        (
            ("catalog", "refresh", "mxnet"),
            "no library of that name has a stored list. Use timm, torchvision, pytorchcv",
        ),
    ],
)
def test_bad_requests(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_a_glob_that_nothing_matches(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (("list", "--models=zzz*"), ("summary", "zzz*")):
        assert cli.main(command) == 1
        printed = capsys.readouterr()
        assert "glob 'zzz*': it matches none of the 1," in printed.err
        assert printed.out == ""
    assert cli.main(["summary", "zzz*", "--format=json"]) == 1
    assert capsys.readouterr().out == "{}\n"


def test_help_lists_every_command_and_a_command_makes_its_own_parser_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = sorted(Path(cli.__file__).parent.glob("*.py"))
    commands = [file for file in files if "\ndef add_parser(" in file.read_text(encoding="utf-8")]
    names = [file.stem.replace("_", "-") for file in commands]
    assert {"compare-implementations", "list", "select"} <= set(names)
    for asked, listed in (("--help", names), ("filters", names), ("list", ["list"])):
        with pytest.raises(SystemExit):
            cli._parser([asked]).parse_args(["nonsense"])
        last = capsys.readouterr().err.splitlines()[-1]
        found = last.rpartition("(choose from ")[2].rstrip(")").replace("'", "")
        assert found.split(", ") == listed


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"archbench {__version__}\n"


def test_catalog_check_says_what_drifted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = read_list("torchvision")
    monkeypatch.setattr(libraries, "names", lambda library: sorted(stored.names))
    monkeypatch.setattr(libraries, "library_version", lambda library: "9.9")
    asked = ["catalog", "refresh", "torchvision", "--check"]
    versions = f"torchvision: listed at {stored.version}, installed is 9.9"
    assert out(capsys, *asked) == f"{versions}: no name added or removed\n"
    there = sorted({*stored.names, "brand_new"} - {"resnet18"})
    monkeypatch.setattr(libraries, "names", lambda library: there)
    assert cli.main(asked) == 1
    assert capsys.readouterr().out == f"{versions}: +brand_new -resnet18\n"
    assert read_list("torchvision") == stored


def listing(name: str) -> tuple[str, str]:
    """Begin and end of a listing as its document prints it, with single blanks."""
    text = (LISTINGS / f"{name}.txt").read_text(encoding="utf-8")
    begin, _, end = " ".join(text.split()).partition(" ...... ")
    return begin, end


def test_summary_is_the_published_layer_table(capsys: pytest.CaptureFixture[str]) -> None:
    # "Latest LightWeight Neural Network survey", 2020: torchsummary's print for efficientnet_b0.
    text = out(capsys, "summary", "pytorchcv/efficientnet_b0", "--part=layers")
    heading, _, table = text.partition("\n")
    assert heading == "==> pytorchcv/efficientnet_b0, input 3x224x224"
    begin, end = listing("efficientnet_b0")
    words = " ".join(table.split())
    assert words.startswith(begin)
    assert words.endswith(end)
    rows = [line for line in table.splitlines() if "[-1," in line]
    assert len(rows) == 296


def test_summary_is_the_published_tree(capsys: pytest.CaptureFixture[str]) -> None:
    # The same document: ptflops' print for FBNet-Cb.
    text = out(capsys, "summary", "pytorchcv/fbnet_cb", "--part=tree", "--convention=ptflops")
    # Newer torch prints one attribute of a BatchNorm more.
    words = " ".join(text.replace("affine=True, bias=True", "affine=True").split())
    begin, end = listing("fbnet_cb")
    assert words.startswith(f"==> pytorchcv/fbnet_cb, input 3x224x224 {begin} ")
    assert f" {end} ptflops " in words


def test_summary_shows_both_parts(capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, "summary", "torchvision/alexnet@128", "--depth=1", "--batch-size=3")
    assert text.startswith("==> torchvision/alexnet@128, input 3x128x128\n")
    # 11x11 taps, stride 4, padding 2 of 128 pixels leave 31; three poolings halve that to 3.
    assert "[3, 256, 3, 3]" in text
    assert "(features): Sequential(" in text


def test_summary_formats(capsys: pytest.CaptureFixture[str]) -> None:
    common = ("summary", "torchvision/alexnet", "--depth=1")
    document = json.loads(out(capsys, *common, "--format=json"))
    assert document["layers"]["total_params"] == 61_100_840  # torchvision's weights metadata
    assert document["tree"]["root"]["params"] == 61_100_840
    layers = list(csv.DictReader(io.StringIO(out(capsys, *common, "--format=csv"))))
    assert [row["name"] for row in layers] == ["features", "avgpool", "classifier"]
    text = out(capsys, *common, "--format=csv", "--part=tree")
    tree = list(csv.DictReader(io.StringIO(text)))
    assert [row["name"] for row in tree] == ["", "features", "avgpool", "classifier"]
    assert "| Sequential " in out(capsys, *common, "--format=markdown")


def test_summary_of_a_name_that_one_library_has(capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, "summary", "efficientnet_b0b", "--part=layers", "--depth=1")
    assert text.startswith("==> pytorchcv/efficientnet_b0b, ")


NOISY_NET = """
import torch
from torch import nn

print("being imported")

def failing():
    raise RuntimeError("no such width")

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        print("being called")
        return self.fc(x.mean((2, 3)))
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "noisy_net.py").write_text(NOISY_NET, encoding="utf-8")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "net.py").write_text("class Net: ...", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_a_network_prints_is_not_in_the_document(
    nets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["summary", "noisy_net.py:Net", "--input-size=64", "--format=json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (document["id"], document["input_size"]) == ("local/Net@64", [3, 64, 64])
    assert document["layers"]["total_params"] == 8
    assert "being imported\n" in captured.err
    assert "being called\n" in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("resnet50",),
            "archbench summary resnet50: it names 3 architectures: pytorchcv/resnet50, "
            "timm/resnet50, torchvision/resnet50. Write one of them",
        ),
        (
            ("timm/resnet*",),
            "architectures: timm/resnet101, timm/resnet101_clip, timm/resnet101_clip_gap, "
            "timm/resnet101c, timm/resnet101d, .... Write one of them",
        ),
        (("timm/resnet5O",), "architecture 'timm/resnet5O': none of the 1,925 architectures"),
        (("timm/resnet50@0",), "'0' is not a size in pixels. Write @192 for square images"),
        (
            (",",),
            "archbench summary ,: it names no architecture. Write an id such as timm/resnet50",
        ),
        (
            ("local/my_net",),
            "archbench summary local/my_net: architectures of one's own are known by that name to "
            "a run of pytest only. Write archbench summary path/to/file.py:constructor",
        ),
        (
            ("noisy_net.py",),
            "archbench summary noisy_net.py: it names a file and no constructor in it. "
            "Add one of failing, Net behind a colon, or a glob over them: noisy_net.py:failing",
        ),
        (
            ("deep/er/net.py",),
            "Add one of Net behind a colon, or a glob over them: deep/er/net.py:Net",
        ),
        (
            ("deep/er/net.py:*Not",),
            "Add one of Net behind a colon, or a glob over them: deep/er/net.py:Net",
        ),
        (("noisy_net.py:failing",), "local/failing cannot be built: RuntimeError: no such width"),
        (
            ("timm/resnet50@96", "--input-size=128"),
            "archbench summary timm/resnet50@96 --input-size=128: both the id and the option say "
            "how large the images are. Give one of them",
        ),
        (
            ("torchvision/alexnet", "--input-size=31"),
            "torchvision/alexnet@31 cannot be summarised with images of 3x31x31: RuntimeError: ",
        ),
        (
            ("torchvision/alexnet", "--format=csv", "--convention=ptflops"),
            "--convention=ptflops with --format=csv, which holds the layer table alone: the "
            "convention is about the MACs of the module tree. Leave it out, or write --part=tree",
        ),
        (
            ("torchvision/alexnet", "--part=layers", "--convention=macs"),
            "--convention=macs with --part=layers: ",
        ),
        (
            ("torchvision/alexnet", "--part=tree", "--batch-size=2"),
            "--batch-size=2 with --part=tree: the module tree is about one image. "
            "Leave it out, or write --part=layers",
        ),
        (
            ("torchvision/alexnet", "--batch-size=99999999999999"),
            "torchvision/alexnet does not fit into memory: Storage size calculation overflowed "
            "with sizes=[99999999999999, 3, 224, 224]. Ask for smaller images or a smaller batch",
        ),
    ],
)
def test_bad_requests_for_a_summary(
    nets: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    assert cli.main(["summary", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith(("archbench: ", "being imported\narchbench: "))
    assert captured.out == ""


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--depth=0", "--depth: '0' is not a whole number of at least 1; write for example 2"),
        ("--depth=-1", "--depth: '-1' is not a whole number of at least 1"),
        ("--input-size=0", "--input-size: '0' is not a whole number of at least 1"),
        ("--batch-size=²", "--batch-size: '²' is not a whole number of at least 1"),
        ("--format=xml", "--format: invalid choice: 'xml' (choose from"),
        ("--part=head", "--part: invalid choice: 'head' (choose from"),
        ("--convention=flops", "--convention: invalid choice: 'flops' (choose from"),
    ],
)
def test_bad_options_of_a_summary(
    capsys: pytest.CaptureFixture[str], option: str, message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["summary", "timm/resnet50", option])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [("list", "--suite=lightweight"), ("summary", "torchvision/alexnet", "--depth=1")],
    ids=["list", "summary"],
)
def test_a_reader_that_has_gone_is_no_error(arguments: tuple[str, ...]) -> None:
    # Little enough that it waits in the buffer until the command ends.
    process = subprocess.Popen(
        [sys.executable, "-m", "archbench", *arguments],
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert "BrokenPipeError" not in process.stderr.read()
    assert process.wait(timeout=900) == 0


def test_compare_implementations(capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, "compare-implementations", "squeezenet1_1")
    assert "torchvision/squeezenet1_1" in text
    assert "pytorchcv/squeezenet_v1_1 costs the same as torchvision/squeezenet1_1" in text


def test_compare_implementations_as_json_at_one_size(capsys: pytest.CaptureFixture[str]) -> None:
    command = ("compare-implementations", "timm/resnet18", "timm/resnet18d")
    document = json.loads(out(capsys, *command, "--input-size=64", "--format=json"))
    assert document["reference"] == "timm/resnet18@64"
    # He et al. 2019, figure 2 c: three convolutions 3x3 of 32, 32 and 64 channels for one of 7x7.
    stem = 9 * (3 * 32 + 32 * 32 + 32 * 64) - 49 * 3 * 64
    stages_and_stem = document["compared"]["timm/resnet18d@64"]["differences"]["params"]
    assert stages_and_stem == stem + 2 * 32 + 2 * 32  # two more BatchNorms


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compare-implementations", "resnet5O"), "The nearest are"),
        (("compare-implementations", "msdnet_a"), "only archbench/msdnet_a is one"),
        (
            ("compare-implementations", "timm/resnet18", "timm/resnet18"),
            "timm/resnet18 alone stands there",
        ),
        (("conventions", "resnet5O"), "The nearest are"),
        (("conventions", "--format=json"), "there is no architecture to count"),
    ],
)
def test_commands_about_counts_refuse(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_conventions(capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, "conventions", "torchvision/alexnet")
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line[:1].isalpha()}
    # As PaddleClas prints its AlexNet: 1.370 G and 61.090 M.
    assert rows["paddleclas-series"][0] == "1.370"
    assert rows["paddleclas-series"][3] == "61.090"
    listed = out(capsys, "conventions")
    assert "paddleclas-series" in listed
    document = json.loads(out(capsys, "conventions", "torchvision/alexnet", "--format=json"))
    assert document["conventions"]["macs"]["operations"] == 714_188_480


def latency_line(model: str, median: float, device: float | None = None) -> TimeLine:
    process_run = {
        "wall": [median] * 9,
        "cpu": [median] * 9,
        "samples": 5,
        "lost": 0,
        "others": 0,
        "reference_workload": None,
        "device": None if device is None else [device] * 9,
        "queue_full": None if device is None else True,
    }
    runs = [process_run] * 10
    return time_line(model, process_runs=runs, commit="3dee450aa", reason="first")


@pytest.fixture
def accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two accepted times, in a git work tree."""
    path = tmp_path / "baselines" / "h200" / "fp32.jsonl"
    lines = [latency_line("timm/gone", 0.2), latency_line("timm/resnet18", 0.1)]
    update_baselines(path, TimeLine, lines, tmp_path / "lock", only_new=False)
    monkeypatch.chdir(tmp_path)
    identity = ("-c", "user.name=x", "-c", "user.email=x")
    for command in (("init", "-q"), ("add", "baselines"), (*identity, "commit", "-qm", "x")):
        subprocess.run(["git", *command], check=True)
    return path


def test_baselines_show(accepted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, "baselines", "show")
    assert text.splitlines()[0] == "baselines/h200/fp32.jsonl"
    row = next(line for line in text.splitlines() if line.startswith("timm/resnet18"))
    # Ten equal process runs have no spread: what the tolerance allows is found.
    assert row.split() == [
        "timm/resnet18", "fp32-b1", "100", "10", "0.0%", "10%", "2026-11-20", "3dee450aa", "first",
    ]  # fmt: skip
    assert "2 lines." in text
    assert "1 lines." in out(capsys, "baselines", "show", "timm/res*")
    assert cli.main(["baselines", "show", "timm/vgg*"]) == 1


def test_baselines_diff(accepted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "0 lines differ from HEAD." in out(capsys, "baselines", "diff")
    line = latency_line("timm/resnet18", 0.12)
    update_baselines(accepted, TimeLine, [line], accepted.parent / "lock", only_new=False)
    text = out(capsys, "baselines", "diff", "HEAD")
    assert "~ timm/resnet18 fp32-b1: 100 ms -> 120 ms (+20.0%), first" in text
    assert "1 lines differ from HEAD." in text
    assert cli.main(["baselines", "diff", "nothing"]) == 2
    assert "git knows no such revision" in capsys.readouterr().err


def test_baselines_of_an_accelerator(accepted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def accept(line: TimeLine) -> None:
        lock = accepted.parent / "lock"
        update_baselines(accepted, TimeLine, [line], lock, only_new=False)

    accept(latency_line("timm/resnet18", 0.12, 0.05))
    rows = [
        line.split() for line in out(capsys, "baselines", "show", "timm/res*").splitlines()
        if line.startswith("timm/resnet18")
    ]  # fmt: skip
    assert [row[:7] for row in rows] == [
        ["timm/resnet18", "fp32-b1", "120", "10", "0.0%", "10%", "2026-11-20"],
        ["timm/resnet18", "fp32-b1", "device", "time", "50", "10", "0.0%"],
    ]
    assert rows[1][7] == "2%"
    # What HEAD does not have is compared with nothing.
    text = out(capsys, "baselines", "diff", "HEAD")
    assert "~ timm/resnet18 fp32-b1: 100 ms -> 120 ms (+20.0%), first" in text
    subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x", "commit", "-qam", "x"], check=True
    )
    accept(latency_line("timm/resnet18", 0.12, 0.051))
    assert (
        "~ timm/resnet18 fp32-b1: 120 ms -> 120 ms (+0.0%); "
        "device time: 50 ms -> 51 ms (+2.0%), first"
    ) in out(capsys, "baselines", "diff", "HEAD")


def test_baselines_prune(accepted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = accepted.read_bytes()
    assert "1 lines would be deleted." in out(capsys, "baselines", "prune", "--dry-run")
    assert accepted.read_bytes() == before
    text = out(capsys, "baselines", "prune")
    assert "- baselines/h200/fp32.jsonl: timm/gone fp32-b1" in text
    assert list(read_baselines(accepted, TimeLine).lines) == ["timm/resnet18 fp32-b1"]


def test_baselines_prune_what_is_named(accepted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["baselines", "prune", "local/*"]) == 1
    assert "no accepted measurement is of such an architecture" in capsys.readouterr().err
    assert "1 lines deleted." in out(capsys, "baselines", "prune", "timm/resnet*")
    assert list(read_baselines(accepted, TimeLine).lines) == ["timm/gone fp32-b1"]


def test_baselines_where_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for action in ("show", "diff", "prune"):
        assert cli.main(["baselines", action]) == 1
        assert "there are none in" in capsys.readouterr().err


def test_compare_implementations_leaves_out_what_cannot_be_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["compare-implementations", "resnet18@64"]) == 0
    captured = capsys.readouterr()
    assert "left out: pytorchcv/resnet18@64 cannot be counted" in captured.err
    assert "timm/resnet18@64 costs the same as torchvision/resnet18@64" in captured.out


@pytest.mark.requires("timm>=0.9")
def test_the_ptflops_row_is_ptflops_own_count(capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, "conventions", "timm/convnext_atto", "--format=json")
    row = json.loads(text)["conventions"]["ptflops"]
    tree = json.loads(out(capsys, "summary", "timm/convnext_atto", "--part=tree",
                          "--convention=ptflops", "--format=json"))  # fmt: skip
    assert str(row["operations"]) in json.dumps(tree)


def test_baselines_of_accuracies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    examples = Path(__file__).parents[1] / "store" / "examples"
    for kind, name in (("accuracy", "accuracy"), ("fingerprint", "fingerprints")):
        path = tmp_path / "baselines" / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((examples / f"{kind}-schema-2.jsonl").read_bytes())
    identity = ("-c", "user.name=x", "-c", "user.email=x")
    for command in (("init", "-q"), ("add", "baselines"), (*identity, "commit", "-qm", "x")):
        subprocess.run(["git", *command], check=True)
    shown = out(capsys, "baselines", "show").splitlines()
    assert shown[0] == "baselines/accuracy.jsonl"
    # Two of three images are right.
    assert shown[3].split() == ["timm/a", "fp32", "66.667", "-", "3", "file", "2026-11-20", "-", "first"]  # fmt: skip  # noqa: E501
    assert "2 lines." in shown
    path = tmp_path / "baselines" / "accuracy.jsonl"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"right":2', '"right":1'), encoding="utf-8")
    assert "~ timm/a fp32: top-1 66.667 % -> 33.333 %, first" in out(capsys, "baselines", "diff")
    out(capsys, "baselines", "prune", "timm/a")
    assert len(path.read_text(encoding="utf-8").splitlines()) == 1


def test_a_command_is_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example of docs/design.md."""
    text = (Path(__file__).parents[2] / "docs" / "design.md").read_text(encoding="utf-8")
    example = text.partition("```python\n# cli/heaviest.py\n")[2].partition("```")[0]
    (tmp_path / "heaviest.py").write_text(example, encoding="utf-8")
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    assert cli.main(["heaviest", "torchvision/resnet18", "torchvision/vgg16"]) == 0
    assert capsys.readouterr().out == "torchvision/vgg16\n"
