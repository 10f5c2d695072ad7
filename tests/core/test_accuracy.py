"""Accuracies, their interval, and two evaluations image by image."""

from __future__ import annotations

import pytest
from scipy import stats

from archbench.core.accuracy import (
    Outcomes,
    accuracy_verdict,
    mcnemar,
    published_verdict,
    runtime_verdict,
    wilson_interval,
)


def outcomes(wrong: set[int], images: int = 50_000, digest: str = "val") -> Outcomes:
    return Outcomes.of((place not in wrong for place in range(images)), digest)


def test_one_bit_for_each_image() -> None:
    packed = Outcomes.of([True, False, True, True, False, False, False, True, True], "d")
    assert packed.bits == bytes([0b10110001, 0b10000000])
    assert (packed.right, packed.images) == (5, 9)
    assert packed.percent == pytest.approx(500 / 9)
    assert len(outcomes(set()).bits) == 6_250


@pytest.mark.parametrize(("bits", "images"), [(b"", 0), (b"\0", 9), (b"\1", 7)])
def test_bits_that_do_not_fit(bits: bytes, images: int) -> None:
    with pytest.raises(ValueError, match=r"outcomes|last byte"):
        Outcomes(bits, images, "d")


@pytest.mark.parametrize(("right", "images"), [(0, 10), (10, 10), (38_000, 50_000), (1, 3)])
def test_wilson(right: int, images: int) -> None:
    expected = stats.binomtest(right, images).proportion_ci(0.95, "wilson")
    low, high = wilson_interval(right, images)
    assert [low / 100, high / 100] == pytest.approx([expected.low, expected.high])


def test_wilson_of_nothing() -> None:
    with pytest.raises(ValueError, match="4 right of 3 images"):
        wilson_interval(4, 3)


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (1, 0), (5, 5), (2, 9), (150, 100)])
def test_mcnemar(lost: int, gained: int) -> None:
    flips = lost + gained
    expected = stats.binomtest(lost, flips).pvalue if flips else 1.0
    assert mcnemar(lost, gained) == pytest.approx(expected)


def test_mcnemar_of_many() -> None:
    assert mcnemar(24_000, 26_000) == pytest.approx(stats.binomtest(24_000, 50_000).pvalue, 1e-6)


@pytest.mark.parametrize(
    ("before", "after", "status", "reason"),
    [
        (set(), set(), "unchanged", "equal"),
        # 13 images lost and none gained have chance 2 / 2 ** 13 = 0.00024; 15 have 0.00006.
        (set(), set(range(13)), "unchanged", "within-chance"),
        (set(), set(range(15)), "regressed", "less-accurate"),
        (set(range(15)), set(), "improved", "more-accurate"),
        # A tenth of a point of 50,000.
        (set(range(100)), set(range(50, 200)), "regressed", "less-accurate"),
        # As many as that, and as many the other way.
        (set(range(100)), set(range(50, 150)), "unchanged", "within-chance"),
    ],
)
def test_verdicts(before: set[int], after: set[int], status: str, reason: str) -> None:
    verdict = accuracy_verdict(outcomes(before), outcomes(after))
    assert (verdict.status, verdict.reason) == (status, reason)


def test_few_images_cannot_tell() -> None:
    # All of 14 lost are 2 / 2 ** 14 = 0.00012; all of 15 are 0.00006.
    for images, status in ((14, "inconclusive"), (15, "regressed")):
        before, after = outcomes(set(), images), outcomes(set(range(images)), images)
        verdict = accuracy_verdict(before, after)
        assert verdict.status == status
    verdict = accuracy_verdict(outcomes(set(), 12), outcomes({1}, 12))
    assert (verdict.reason, verdict.status) == ("too-few-images", "inconclusive")
    assert accuracy_verdict(outcomes(set(), 12), outcomes(set(), 12)).status == "unchanged"


def test_sentence() -> None:
    verdict = accuracy_verdict(outcomes(set(range(100))), outcomes(set(range(150))), accept=True)
    assert verdict.reason == "accepted"
    assert verdict.sentence == (
        "99.800 % -> 99.700 % (-0.100 points): 50 images lost, 0 gained of 50,000; "
        "chance alone does so with probability 1.8e-15"
    )


def test_what_cannot_be_compared() -> None:
    now = outcomes(set())
    assert accuracy_verdict(None, now).status == "no-baseline"
    for other in (outcomes(set(), 10_000), outcomes(set(), digest="other")):
        verdict = accuracy_verdict(other, now)
        assert (verdict.status, verdict.reason) == ("not-comparable", "other-images")


@pytest.mark.parametrize(
    ("published", "status", "reason"),
    [
        # Wilson's interval at 99.99 % of 40,152 of 50,000 is 79.61 to 80.99.
        (80.382, "no-baseline", "agrees-with-published"),
        (79.62, "no-baseline", "agrees-with-published"),
        (81.5, "inconclusive", "below-published"),
        (79.0, "inconclusive", "above-published"),
    ],
)
def test_beside_a_published_number(published: float, status: str, reason: str) -> None:
    verdict = published_verdict("top1", 40_152, 50_000, published, "a table: a row")
    assert (verdict.status, verdict.reason) == (status, reason)
    assert f"{published:g} % is published (a table: a row)" in verdict.sentence
    assert "80.304 % of 50,000 images" in verdict.sentence


def test_a_rounded_number_agrees_within_its_rounding() -> None:
    # The interval of all of 1,000 right at 99.99 % begins at 98.51 %: printed as 98 it may be 98.5.
    args = ("top1", 1000, 1000)
    assert published_verdict(*args, 98.0, "x", digits=0).status == "inconclusive"
    low = wilson_interval(1000, 1000, 0.9999)[0]
    assert published_verdict(*args, low - 0.4, "x", digits=0).status == "no-baseline"
    assert published_verdict(*args, low - 0.4, "x", digits=3).status == "inconclusive"


@pytest.mark.parametrize(
    ("dtype", "wrong", "status", "reason"),
    [
        ("fp32", 10_000, "unchanged", "equal"),
        # 15 lost images of 50,000 in one direction: 2^-14 is below 1e-4, 2^-13 above it.
        ("fp32", 10_014, "unchanged", "within-chance"),
        ("fp32", 10_015, "regressed", "less-accurate-than-eager"),
        ("fp32", 9_000, "improved", "more-accurate-than-eager"),
        # 99 % of 40,000 are 39,600.
        ("int8", 10_400, "unchanged", "within-tolerance"),
        ("int8", 10_401, "regressed", "less-accurate-than-eager"),
        ("bf16", 10_401, "regressed", "less-accurate-than-eager"),
    ],
)
def test_a_runtime_beside_eager(dtype: str, wrong: int, status: str, reason: str) -> None:
    eager, now = outcomes(set(range(10_000))), outcomes(set(range(wrong)))
    verdict = runtime_verdict(eager, now, dtype=dtype, runtime="openvino")
    assert (verdict.status, verdict.reason, verdict.metric) == (status, reason, "top1")
    assert verdict.budget == "top1 as eager"
    lost, gained = max(wrong - 10_000, 0), max(10_000 - wrong, 0)
    assert verdict.sentence.startswith("beside eager fp32 openvino has 80.000 % -> ")
    assert f"{lost:,} images lost, {gained:,} gained of 50,000" in verdict.sentence
    asked = "99% of eager's accuracy are asked of"
    assert (asked in verdict.sentence) == (dtype != "fp32")
