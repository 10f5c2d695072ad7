"""The class scores in what a network returns."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archbench import ModelSpec
from archbench.core.errors import ArchitectureError
from archbench.core.spec import Target
from archbench.models.loading import load
from archbench.models.outputs import class_scores, doubt_about, every_exit

SCORES, FEATURES, OTHER = torch.ones(2, 10), torch.ones(2, 64, 7, 7), torch.zeros(2, 10)
WIDE = torch.zeros(2, 512)


@dataclass
class Output:
    """As transformers' ModelOutput, which is a dataclass and a mapping."""

    loss: Tensor | None = None
    logits: Tensor | None = None


class Result:
    def __init__(self) -> None:
        self.out, self.aux = SCORES, OTHER


Named = namedtuple("Named", ["logits", "aux_logits"])


def spec(scores: str | int | None = None) -> ModelSpec:
    return ModelSpec.of(nn.Identity, name="net", scores=scores)


@pytest.mark.parametrize(
    "output",
    [
        SCORES,
        {"logits": SCORES, "aux": OTHER},
        {"out": SCORES, "aux": OTHER},
        {"features": FEATURES, "anything": SCORES},
        OrderedDict(logits=SCORES, hidden_states=(FEATURES,)),
        Output(logits=SCORES),
        Result(),
        Named(SCORES, OTHER),
        (SCORES, OTHER),
        (SCORES, None),
        (FEATURES, SCORES),
        [OTHER, OTHER, SCORES],
        [FEATURES, SCORES],
        {"main": SCORES, "aux": OTHER},
        [(OTHER, WIDE), (SCORES, OTHER)],
        (FEATURES, {"heads": [SCORES]}),
    ],
    ids=lambda output: type(output).__name__,
)
def test_the_rule(output: Any) -> None:
    assert class_scores(spec(), output, 2) is SCORES


@pytest.mark.parametrize(
    ("output", "doubt"),
    [
        (SCORES, None),
        ({"logits": SCORES, "aux": OTHER}, None),
        ((FEATURES, SCORES), None),
        ((SCORES, OTHER), "0, 1 of its tuple could be its class scores, and 0 was taken"),
        ((WIDE, SCORES), "0, 1 of its tuple could be its class scores, and 0 was taken"),
        ([OTHER, SCORES], "0, 1 of its list could be its class scores, and 1 was taken"),
        ({"a": SCORES, "b": OTHER}, "a, b of its dict could be its class scores, and a was taken"),
        (
            [(OTHER,), (SCORES, OTHER)],
            "0.0, 1.0, 1.1 of its list could be its class scores, and 1.0 was taken",
        ),
    ],
    ids=str,
)
def test_a_choice_is_said(output: Any, doubt: str | None) -> None:
    found = doubt_about(spec(), output, 2)
    assert found == (None if doubt is None else f"{doubt}; scores= says which")


@pytest.mark.parametrize(
    ("scores", "output"),
    [
        ("head", {"head": SCORES, "logits": OTHER}),
        ("loss", Output(loss=SCORES, logits=OTHER)),
        (0, [SCORES, OTHER]),
        (-1, (OTHER, SCORES)),
        ("exits.1", {"exits": [OTHER, SCORES], "logits": OTHER}),
        ("every", [OTHER, SCORES]),
    ],
)
def test_a_person_says_which(scores: str | int, output: Any) -> None:
    assert class_scores(spec(scores), output, 2) is SCORES
    assert doubt_about(spec(scores), output, 2) is None


def test_a_batch_of_one_that_is_squeezed_away() -> None:
    row, other = torch.arange(10.0), torch.ones(1, 7)
    assert torch.equal(class_scores(spec(), row, 1), row[None])
    assert torch.equal(class_scores(spec(), {"a": row, "loss": torch.ones(())}, 1), row[None])
    assert class_scores(spec(), {"a": row, "b": other}, 1) is other
    with pytest.raises(ArchitectureError, match=r"scores of shape \(10,\) for 2 images"):
        class_scores(spec(), row, 2)


def test_every_exit() -> None:
    exits = every_exit(spec("every"), [OTHER, FEATURES, SCORES], 2)
    assert [exit is one for exit, one in zip(exits, (OTHER, SCORES), strict=True)] == [True, True]
    assert every_exit(spec(), [OTHER, SCORES], 2) == [SCORES]


@pytest.mark.parametrize(
    ("scores", "output", "message"),
    [
        (None, 7, "returned int, expected a tensor of class scores; return the scores alone"),
        (None, [(FEATURES,), (FEATURES,)], "returned list of 0.0: (2, 64, 7, 7), 1.0: "
         "(2, 64, 7, 7), and none of it is a row of class scores for each of 2 images. Say which: "
         "ModelSpec.of(..., scores='0.0')"),
        (None, {"a": FEATURES}, "returned dict of a: (2, 64, 7, 7), and none of it is a row of "
         "class scores for each of 2 images"),
        (None, [FEATURES], "returned scores of shape (2, 64, 7, 7) for 2 images"),
        ("c", {"a": SCORES}, "has no 'c' in what it returns, which is dict of a: (2, 10)"),
        (3, [SCORES], "has no 3 in what it returns, which is list of 0: (2, 10)"),
        ("a", {"a": [SCORES]}, "returned list as 'a', expected a tensor of class scores. Say "
         "which of it: scores='a.0'"),
        ("a", {"a": None}, "returned NoneType as 'a', expected a tensor of class scores. Name "
         "another part"),
    ],
)  # fmt: skip
def test_what_has_no_scores_is_described(
    scores: str | int | None, output: Any, message: str
) -> None:
    with pytest.raises(ArchitectureError) as caught:
        class_scores(spec(scores), output, 2)
    assert str(caught.value).startswith("local/net ")
    assert message in str(caught.value)


def test_a_network_with_several_exits_is_loaded() -> None:
    class Exits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = nn.ModuleList(nn.Linear(192, 10) for _ in range(3))

        def forward(self, x: Tensor) -> Any:
            return [head(x.flatten(1)) for head in self.heads]

    target = Target("cpu", "any", "cpu")
    silent = load(ModelSpec.of(Exits, input_size=8, scores="every"), target)
    assert silent.notes == []
    said = load(ModelSpec.of(Exits, input_size=8), target)
    assert [note.code for note in said.notes] == ["which-scores"]
    images = said.images()
    assert said(images).equal(said.module.get_submodule("heads.2")(images.flatten(1)))


def test_what_holds_itself() -> None:
    scores = torch.ones(1, 10)
    found: dict[str, Any] = {}
    found["itself"], found["x"] = found, scores
    assert class_scores(spec(), found, 1) is scores
    row: list[Any] = [scores]
    row.insert(0, row)
    assert class_scores(spec(), row, 1) is scores
    nothing: list[Any] = []
    nothing.append(nothing)
    with pytest.raises(ArchitectureError, match="expected a tensor of class scores"):
        class_scores(spec(), nothing, 1)
