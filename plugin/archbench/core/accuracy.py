"""Accuracy as outcomes of images, and the paired comparison of two evaluations of the same ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import NormalDist

from archbench.core.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Whether a model was right about each of a series of images, in their order.

    Attributes:
        bits: one bit for each image, most significant first, 1 where it was right; the last byte
            is filled with zeros.
        images: how many there are.
        digest: names the images and their order; only outcomes of equal digests are paired.
    """

    bits: bytes
    images: int
    digest: str

    def __post_init__(self) -> None:
        if self.images < 1 or len(self.bits) != (self.images + 7) // 8:
            raise ValueError(f"{len(self.bits)} bytes of outcomes for {self.images} images")
        spare = len(self.bits) * 8 - self.images
        if self.bits[-1] & ((1 << spare) - 1):
            raise ValueError("the last byte says more than there are images")

    @classmethod
    def of(cls, right: Iterable[bool], digest: str) -> Outcomes:
        """Pack one truth value for each image."""
        flags = [bool(flag) for flag in right]
        packed = bytearray((len(flags) + 7) // 8)
        for place, flag in enumerate(flags):
            if flag:
                packed[place // 8] |= 0x80 >> place % 8
        return cls(bytes(packed), len(flags), digest)

    @property
    def right(self) -> int:
        """How many images it was right about."""
        return int.from_bytes(self.bits, "big").bit_count()

    @property
    def percent(self) -> float:
        """The accuracy."""
        return self.right * 100 / self.images


def wilson_interval(right: int, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of an accuracy, in percent (Wilson 1927, JASA 22:209).

    Raises:
        ValueError: no images, or more of them right than there are.
    """
    if images < 1 or not 0 <= right <= images:
        raise ValueError(f"{right} right of {images} images")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, square = right / images, z * z / images
    center = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / images + square / images / 4)
    return max(center - half, 0.0) * 100, min(center + half, 1.0) * 100


def mcnemar(lost: int, gained: int) -> float:
    """Two-sided p value of McNemar's exact test (McNemar 1947; Fagerland et al. 2013).

    Where nothing has changed, an image whose outcome flips is as likely to be lost as gained: the
    smaller of the two numbers is binomial with probability one half.

    Args:
        lost: images that were right and are wrong.
        gained: images that were wrong and are right.
    """
    flips, least = lost + gained, min(lost, gained)
    if lost == gained:
        return 1.0
    # In logarithms: the coefficients of 50,000 flips have thousands of digits.
    total = math.lgamma(flips + 1) - flips * math.log(2)
    tail = math.fsum(
        math.exp(total - math.lgamma(k + 1) - math.lgamma(flips - k + 1)) for k in range(least + 1)
    )
    return min(2 * tail, 1.0)


def accuracy_verdict(
    baseline: Outcomes | None,
    now: Outcomes,
    *,
    metric: str = "top1",
    confidence: float = 0.9999,
    accept: bool = False,
) -> Verdict:
    """Compare two evaluations image by image.

    Args:
        baseline: outcomes that were accepted; None where there are none.
        now: outcomes of now.
        metric: ``top1`` or ``top5``.
        confidence: one minus the probability of a change that is none.
        accept: whether the outcomes of now are to be the baseline.
    """
    if baseline is None:
        return Verdict(metric, "no-baseline", "not-in-file", "no accuracy has been accepted for it")
    if (baseline.images, baseline.digest) != (now.images, now.digest):
        what = (
            f"{baseline.images:,} images, this is of {now.images:,}"
            if baseline.images != now.images
            else "other images"
        )
        return Verdict(metric, "not-comparable", "other-images", f"the baseline is of {what}")
    before, after = (int.from_bytes(side.bits, "big") for side in (baseline, now))
    lost, gained = (before & ~after).bit_count(), (after & ~before).bit_count()
    change = now.percent - baseline.percent
    chance = mcnemar(lost, gained)
    sentence = (
        f"{baseline.percent:.3f} % -> {now.percent:.3f} % ({change:+.3f} points): "
        f"{lost:,} images lost, {gained:,} gained of {now.images:,}"
    )
    by_chance = f"; chance alone does so with probability {chance:.2g}"
    if lost == gained == 0:
        status, reason, remark = "unchanged", "equal", ""
    elif chance > 1 - confidence and mcnemar(now.images, 0) > 1 - confidence:
        status, reason = "inconclusive", "too-few-images"
        remark = "; so few images cannot tell any change from chance"
    elif chance > 1 - confidence:
        status, reason, remark = "unchanged", "within-chance", by_chance
    elif lost > gained:
        status, reason = "regressed", "accepted" if accept else "less-accurate"
        remark = by_chance
    else:
        status, reason, remark = "improved", "more-accurate", by_chance
    sentence += remark
    return Verdict(metric, status, reason, sentence, baseline.percent, now.percent)


KEPT = {"fp32": 1.0, "tf32": 1.0}
"""Share of the accuracy of eager fp32 that a runtime has to keep, where chance does not explain the
difference; of the precisions that are not here 0.99, as MLPerf Inference asks of int8."""


def runtime_verdict(
    eager: Outcomes,
    now: Outcomes,
    *,
    dtype: str,
    runtime: str,
    metric: str = "top1",
    confidence: float = 0.9999,
) -> Verdict:
    """Compare what a runtime says of images with what eager fp32 says of the same ones.

    Like a budget it holds whatever is being accepted.

    Args:
        eager, now: outcomes of eager fp32 and of the runtime.
        dtype: the runtime's precision.
        runtime: its name.
        metric, confidence: see :func:`accuracy_verdict`.
    """
    found = accuracy_verdict(eager, now, metric=metric, confidence=confidence)
    status, reason = found.status, found.reason
    kept = KEPT.get(dtype, 0.99)
    sentence = f"beside eager fp32 {runtime} has {found.sentence}"
    if status == "regressed":
        is_kept = now.percent >= kept * eager.percent
        status = "unchanged" if is_kept else status
        reason = "within-tolerance" if is_kept else "less-accurate-than-eager"
        if kept < 1:
            sentence += f"; {kept:.0%} of eager's accuracy are asked of {dtype}"
    elif status == "improved":
        reason = "more-accurate-than-eager"
    return replace(
        found, status=status, reason=reason, sentence=sentence, budget=f"{metric} as eager"
    )


def published_verdict(
    metric: str,
    right: int,
    images: int,
    published: float,
    source: str,
    *,
    digits: int = 3,
    confidence: float = 0.9999,
) -> Verdict:
    """Compare an accuracy with a number that somebody printed, where nothing has been accepted.

    Whose images were right there is not known, so they cannot be compared one by one: the interval
    of this evaluation says what is certain.

    Args:
        metric: ``top1`` or ``top5``.
        right, images: of this evaluation.
        published: percent.
        source: who printed it.
        digits: behind the point, of what was printed.
        confidence: of the interval.
    """
    low, high = wilson_interval(right, images, confidence)
    value = right * 100 / images
    half_step = 10.0**-digits / 2
    compared = (
        f"{value:.3f} % of {images:,} images, known to {low:.2f} to {high:.2f} %; "
        f"{published:g} % is published ({source})"
    )
    if low - half_step <= published <= high + half_step:
        status, reason, found = "no-baseline", "agrees-with-published", "within the interval"
    else:
        status, reason = "inconclusive", f"{'below' if value < published else 'above'}-published"
        found = "outside the interval. Other images, weights or preprocessing, or a fault"
    return Verdict(metric, status, reason, f"none accepted; {compared}: {found}", published, value)
