"""Parts of a run: shards, and what workers get at once."""

from __future__ import annotations

import random

import pytest

from archbench.core.errors import UsageError
from archbench.core.shards import Shard, shares, units


def test_a_shard_is_read() -> None:
    assert Shard.parse("2/4") == Shard(2, 4)
    assert str(Shard(2, 4)) == "2/4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5/4", "of 4 shards there is none with the number 5. Count them from 1 to 4"),
        ("0/4", "of 4 shards there is none with the number 0. Count them from 1 to 4"),
        ("0/0", "of 0 shards there is none with the number 0. Write --shard=1/1 for all in one"),
        ("2", "it is not two numbers. Write --shard=2/4 for the 2nd of 4"),
        ("-1/4", "it is not two numbers. Write --shard=2/4 for the 2nd of 4"),
        ("two/4", "it is not two numbers. Write --shard=2/4 for the 2nd of 4"),
    ],
)
def test_what_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Shard.parse(text)
    assert str(caught.value) == f"--shard={text}: {message}"


def test_the_heaviest_goes_to_whoever_has_least() -> None:
    # By hand: a to the 1st, b to the 2nd, c to the 2nd (3 < 4), d to the 1st (4 < 5).
    weights = {"d": 1.0, "a": 4.0, "b": 3.0, "c": 2.0}
    assert shares(weights, 2) == [["d", "a"], ["b", "c"]]


def test_shares_are_disjoint_whole_even_and_the_same_in_any_order() -> None:
    chance = random.Random(3)
    weights = {f"net{number}": chance.uniform(0.5, 30) for number in range(200)}
    for of in (1, 2, 3, 8, 64):
        found = shares(weights, of)
        assert sorted(name for share in found for name in share) == sorted(weights)
        loads = [sum(weights[name] for name in share) for share in found]
        # Graham 1969: longest first is within 4/3 - 1/(3 m) of the best there is.
        best = max(sum(weights.values()) / of, max(weights.values()))
        assert max(loads) <= (4 / 3 - 1 / (3 * of)) * best + 1e-9
        shuffled = dict(chance.sample(list(weights.items()), len(weights)))
        assert [set(share) for share in shares(shuffled, of)] == [set(share) for share in found]


def test_units_are_whole_groups_and_the_longest_comes_first() -> None:
    # By hand: a 2, b 5, c 1 and d 4 of 12; half of one of two workers' share is 3.
    groups = ["a", "b", "b", "c", "d", "d", "a"]
    seconds = [1.5, 2.0, 3.0, 1.0, 1.0, 3.0, 0.5]
    assert units(groups, seconds, 1) == [[1, 2], [4, 5], [0, 6], [3]]
    # Both that take more than 3 are cut, and no test is.
    assert units(groups, seconds, 2) == [[2], [5], [0, 6], [1], [3], [4]]


def test_units_keep_the_order_of_what_takes_as_long() -> None:
    assert units(["c", "a", "b", "a"], [1.0, 0.5, 1.0, 0.5], 1) == [[0], [1, 3], [2]]
    assert units(["a", "a"], [1.0, 9.0], 1) == [[0, 1]]
    assert units([], [], 2) == []
