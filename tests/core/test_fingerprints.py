"""Comparing fingerprints."""

from __future__ import annotations

import json
import math

import pytest

from archbench.core.fingerprints import (
    OTHER_DEVICE_TOLERANCES,
    OUTPUT_TOLERANCES,
    Fingerprint,
    fingerprint_verdict,
    unsteady,
)
from archbench.core.run_config import DTYPES

# Mean 0, standard deviation 1.
ONE = (-1.0, 1.0, -1.0, 1.0)


def fingerprint(input_shift: float = 0.0, output_shift: float = 0.0) -> Fingerprint:
    """All inputs and outputs shifted: by so much of their spread."""
    return Fingerprint(
        tuple(v + input_shift for v in ONE), tuple(v + output_shift for v in ONE), (1,), "none"
    )


@pytest.mark.parametrize(
    ("dtype", "shift", "status"),
    [
        ("fp32", 0.00009, "unchanged"), ("fp32", 0.00011, "changed"),
        ("fp16", 0.0029, "unchanged"), ("fp16", 0.0031, "changed"),
        ("bf16", 0.029, "unchanged"), ("bf16", 0.031, "changed"),
        ("tf32", 0.0029, "unchanged"), ("amp-fp16", 0.0031, "changed"),
        ("amp-bf16", 0.029, "unchanged"), ("int8", 0.031, "changed"),
    ],
)  # fmt: skip
def test_scores_have_a_tolerance_by_precision(dtype: str, shift: float, status: str) -> None:
    verdict = fingerprint_verdict(fingerprint(), fingerprint(0, shift), dtype)
    assert verdict.status == status
    if status == "changed":
        assert verdict.reason == "differs"
        assert verdict.value == pytest.approx(shift)


@pytest.mark.parametrize(("shift", "status"), [(0.019, "unchanged"), (0.021, "changed")])
def test_pixels_have_one(shift: float, status: str) -> None:
    verdict = fingerprint_verdict(fingerprint(), fingerprint(shift), "bf16")
    assert verdict.status == status


def test_what_changes_is_named() -> None:
    verdict = fingerprint_verdict(fingerprint(), fingerprint(0.5, 0.5), "fp32")
    assert verdict.sentence == (
        "preprocessing has changed: its input differs by 0.5 of its spread, "
        "and 0.02 is tolerated in fp32"
    )
    assert fingerprint_verdict(None, fingerprint(), "fp32").status == "no-baseline"
    accepted = fingerprint_verdict(fingerprint(), fingerprint(1), "fp32", accept=True)
    assert (accepted.status, accepted.reason) == ("changed", "accepted")


def test_other_weights_are_not_compared() -> None:
    now = Fingerprint(ONE, ONE, (1,), "0123")
    verdict = fingerprint_verdict(fingerprint(), now, "fp32")
    assert (verdict.status, verdict.reason) == ("not-comparable", "other-weights")


def test_other_numbers_of_classes() -> None:
    now = Fingerprint(ONE, (*ONE, 0.0), (1,), "none")
    assert fingerprint_verdict(fingerprint(), now, "fp32").status == "changed"


def test_scores_that_are_all_the_same_have_no_spread() -> None:
    flat = Fingerprint(ONE, (2.0, 2.0), (0,), "none")
    assert fingerprint_verdict(flat, flat, "fp32").status == "unchanged"
    other = Fingerprint(ONE, (2.0, 2.1), (0,), "none")
    assert fingerprint_verdict(flat, other, "fp32").status == "changed"


def test_not_a_number_is_no_agreement() -> None:
    broken = Fingerprint(ONE, (-1.0, 1.0, math.nan, 1.0), (1,), "none")
    assert fingerprint_verdict(fingerprint(), broken, "fp32").status == "changed"


def test_as_text_and_back() -> None:
    one = Fingerprint((1 / 3,), (2 / 3,), (7,), "none")
    stored = json.loads(json.dumps(one.short.as_dict()))
    assert stored["inputs"] == [0.3333333]
    assert Fingerprint.from_dict(stored).top == (7,)


def test_another_device_may_multiply_in_fewer_digits() -> None:
    now = fingerprint(0, 0.0029)
    assert fingerprint_verdict(fingerprint(), now, "fp32").status == "changed"
    elsewhere = fingerprint_verdict(fingerprint(), now, "fp32", same_device=False)
    assert elsewhere.status == "unchanged"
    further = fingerprint_verdict(fingerprint(), fingerprint(0, 0.0031), "fp32", same_device=False)
    assert further.status == "changed"


def test_every_precision_has_a_tolerance() -> None:
    assert {*OUTPUT_TOLERANCES} == {*OTHER_DEVICE_TOLERANCES} == {*DTYPES}


def test_a_second_pass_has_to_agree() -> None:
    assert unsteady(fingerprint(), fingerprint(0, 0.00009), "fp32") is None
    assert unsteady(fingerprint(), fingerprint(0, 0.029), "int8") is None
    doubt = unsteady(fingerprint(), fingerprint(0, 0.5), "fp32")
    assert doubt is not None
    assert doubt.startswith(
        "its scores differ by 0.5 of their spread when it gets the same images again, and 0.0001 is"
    )
