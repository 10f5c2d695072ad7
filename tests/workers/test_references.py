"""What --against=REF is taken to name."""

from __future__ import annotations

import pytest

from archbench.core.errors import UsageError
from archbench.workers.references import Reference, parse_reference


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("merge-base", Reference("revision", "merge-base")),
        ("main", Reference("revision", "main", "main")),
        ("HEAD~2", Reference("revision", "HEAD~2", "HEAD~2")),
        ("v1.0^", Reference("revision", "v1.0^", "v1.0^")),
        ("python:v/bin/python", Reference("interpreter", "python:v/bin/python", "v/bin/python")),
        (
            "pip:timm==1.0.20  'torchvision>=0.20, <1'",
            Reference(
                "packages",
                "pip:timm==1.0.20  'torchvision>=0.20, <1'",
                requirements=("timm==1.0.20", "torchvision>=0.20, <1"),
            ),
        ),
        (
            "dtype=bf16, batch-size=4",
            Reference(
                "flags",
                "dtype=bf16, batch-size=4",
                flags=(("dtype", "bf16"), ("batch-size", "4")),
            ),
        ),
        (
            "model=net.py:net(sizes=(1,2), width=0.5),dtype=bf16",
            Reference(
                "flags",
                "model=net.py:net(sizes=(1,2), width=0.5),dtype=bf16",
                flags=(("model", "net.py:net(sizes=(1,2), width=0.5)"), ("dtype", "bf16")),
            ),
        ),
    ],
)  # fmt: skip
def test_each_kind(text: str, reference: Reference) -> None:
    assert parse_reference(text) == reference


def test_another_model_is_meant_to_differ() -> None:
    assert parse_reference("model=timm/resnet50d").means_difference
    assert not parse_reference("dtype=bf16").means_difference


@pytest.mark.parametrize(
    ("text", "runtimes", "shares"),
    [
        ("dtype=bf16", ("eager",), True),
        ("runtime=compiled", ("eager",), True),
        ("runtime=eager", ("compiled",), True),
        ("dtype=bf16", ("compiled",), False),
        ("runtime=compiled", ("eager", "compiled"), False),
        ("main", ("eager",), False),
        ("pip:timm", ("eager",), False),
    ],
)
def test_two_compiled_sides_have_a_process_each(
    text: str, runtimes: tuple[str, ...], shares: bool
) -> None:
    assert parse_reference(text).shares_process(runtimes) is shares


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("python:", "no interpreter is named. Write --against=python:/path/to/venv/bin/python"),
        ("pip: ", "requirements are expected, separated by spaces. Write for example"),
        ("pip:-r file", "requirements are expected"),
        ("pip:'timm", "a quote is open (No closing quotation). Close it"),
        ("dtype=fp8", "'fp8' is no dtype. Write one of fp32, tf32, fp16, bf16,"),
        ("dtyp=bf16", "there is no flag 'dtyp'. Write 'dtype'; flags are model, dtype, "),
        ("dtype=bf16,quick", "'quick' is no change of a flag. Write --against=dtype=bf16,batch-"),
        ("dtype=bf16,dtype=fp16", "dtype is given twice. Give it once"),
        ("batch-size=0", "'0' is not a whole number of at least 1. Write for example --against=b"),
        ("model=", "model has no value. Write for example --against=model=timm/resnet50"),
        ("my branch", "no revision is called that. Write a git revision (--against=main), "),
        ("-x", "no revision is called that"),
    ],
)
def test_what_names_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_reference(text)
    assert str(refused.value).startswith(f"--against={text}: {message}")
