"""The archbench command."""

from __future__ import annotations

import pytest

from archbench import __version__, cli


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
        (("list", "--models=zzz*"), "zzz*"),
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


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"archbench {__version__}\n"


def test_catalog_check_says_what_drifted(capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, "catalog", "refresh", "torchvision", "--check")
    assert text.startswith("torchvision: listed at ")
