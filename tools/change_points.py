"""How often change points are found where there are none, and where there are some.

The table of docs/history.md. Beside archbench's rule those of other libraries are tried, as they
come, where they are installed: ``pip install apache-otava ruptures skchange`` in an environment of
its own (they need other versions of numpy than the rest).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence

import numpy as np

from archbench.report.change_points import change_points

Rule = Callable[[Sequence[float]], Sequence[int]]
Noise = Callable[["np.random.Generator", int], "np.ndarray"]

NOISE: dict[str, Noise] = {
    "2 %": lambda rng, n: rng.normal(0, 0.02, n),
    "2 %, outliers": lambda rng, n: (
        rng.normal(0, 0.02, n) + (rng.random(n) < 0.05) * rng.uniform(0.1, 0.3, n)
    ),
    "two modes": lambda rng, n: rng.normal(0, 0.01, n) + (rng.random(n) < 0.3) * 0.08,
}
"""Of the logarithms: normal; one in twenty 10 to 30 % slower; three in ten 8 % slower."""

LENGTHS = (6, 10, 20, 30)
STEPS = ((10, 5), (20, 10), (30, 15), (30, 27))
"""Length, and where the step is."""


def otava() -> Rule:
    from otava.analysis import compute_change_points

    return lambda values: [point.index for point in compute_change_points(list(values))[0]]


def otava_original() -> Rule:
    from otava.analysis import compute_change_points_orig

    return lambda values: [
        point.index for point in compute_change_points_orig(list(values), 0.01, seed=1)[0]
    ]


def skchange() -> Rule:
    from skchange.detectors import SeededBinarySegmentation

    def found(values: Sequence[float]) -> Sequence[int]:
        if len(values) < 10:  # it refuses fewer
            return []
        logarithms = np.log(values)
        # It takes the noise for 1; this is the usual estimate of it.
        noise = np.median(np.abs(np.diff(logarithms))) / 0.6745 / math.sqrt(2)
        signal = logarithms.reshape(-1, 1) / noise
        return list(SeededBinarySegmentation().fit_predict(signal))

    return found


def ruptures_plain() -> Rule:
    import ruptures

    def found(values: Sequence[float]) -> Sequence[int]:
        logarithms = np.log(values)
        noise = np.median(np.abs(np.diff(logarithms))) / 0.6745 / math.sqrt(2)
        search = ruptures.Pelt(model="l2", jump=1).fit(logarithms.reshape(-1, 1) / noise)
        return list(search.predict(pen=3 * math.log(len(values)))[:-1])

    return found


RULES: dict[str, Callable[[], Rule]] = {
    "archbench": lambda: change_points,
    "otava": otava,
    "otava, original": otava_original,
    "ruptures, l2": ruptures_plain,
    "skchange": skchange,
}


def false_alarms(rule: Rule, noise: Noise, length: int, series: int) -> float:
    rng = np.random.default_rng(length)
    return sum(len(rule(np.exp(noise(rng, length)).tolist())) > 0 for _ in range(series)) / series


def detected(rule: Rule, noise: Noise, length: int, place: int, step: float, series: int) -> float:
    """Share of series in which a change point stands at most one entry away from the step."""
    rng, hits = np.random.default_rng(length + place), 0
    for _ in range(series):
        logarithms = noise(rng, length)
        logarithms[place:] += math.log1p(step)
        hits += any(abs(index - place) <= 1 for index in rule(np.exp(logarithms).tolist()))
    return hits / series


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("rules", nargs="*", help="default: all")
    options = parser.parse_args()
    heads = [
        *(f"false n={n}" for n in LENGTHS),
        *(f"{step:.0%} at {place}/{n}" for n, place in STEPS for step in (0.05, 0.10)),
    ]
    print("| rule | noise |", " | ".join(heads), "| s |")
    print("|---|---|" + "---:|" * (len(heads) + 1))
    for name in options.rules or RULES:
        try:
            rule = RULES[name]()
        except ImportError as error:
            print(f"{name}: not tried: {error}")
            continue
        for kind, noise in NOISE.items():
            begin = time.perf_counter()
            shares = [false_alarms(rule, noise, n, options.series) for n in LENGTHS]
            shares += [
                detected(rule, noise, n, place, step, options.series)
                for n, place in STEPS
                for step in (0.05, 0.10)
            ]
            cells = " | ".join(f"{share:.1%}" for share in shares)
            print(f"| {name} | {kind} | {cells} | {time.perf_counter() - begin:.0f} |", flush=True)


if __name__ == "__main__":
    main()
