"""When another counter's answer is worth a word."""

from __future__ import annotations

from archbench.core.complexity import SecondOpinion, disagreement


def opinion(macs: int) -> SecondOpinion:
    return SecondOpinion("ptflops", macs, {"bmm": macs - 1000}, {"bmm": "of a reason"})


def test_half_a_percent_is_agreement() -> None:
    assert disagreement(1000, None) is None
    assert disagreement(1000, opinion(1005)) is None
    assert disagreement(1000, opinion(995)) is None


def test_more_is_reported_with_the_operators() -> None:
    assert disagreement(1000, opinion(1006)) == "ptflops counts +0.6% (bmm +6: of a reason)"
    assert disagreement(1000, opinion(680)) == "ptflops counts -32.0% (bmm -320: of a reason)"
    assert disagreement(0, SecondOpinion("ptflops", 7, {"mm": 7})) == (
        "ptflops counts 7 MACs (mm +7: reason unknown)"
    )


def test_operators_that_differ_for_one_reason_share_it() -> None:
    biases = SecondOpinion("ptflops", 1100, {"addmm": 40, "mm": 60}, {"addmm": "why", "mm": "why"})
    assert disagreement(1000, biases) == "ptflops counts +10.0% (addmm +40, mm +60: why)"
