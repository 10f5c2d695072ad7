"""What a first pass finds out about a network, and what is said of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from archbench import ModelSpec
from archbench.core.spec import Target
from archbench.measure.running import Runner, forward_passes
from archbench.models.loading import LoadedModel, load
from archbench.models.switches import asked_for

TARGET = Target("cpu", "x", "cpu")


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(192, 10), nn.Linear(192, 10)
        self.seen: list[Tensor] = []


class Normalises(Head):
    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.clone())
        return self.a(x.sub_(0.5).div_(0.25).flatten(1))


class Clears(Head):
    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.clone())
        y = self.a(x.flatten(1))
        x.zero_()
        return y


class Transposes(Head):
    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.clone())
        return self.a(x.transpose_(1, 3).reshape(len(x), -1))


class Keeps(Head):
    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.clone())
        return self.a(x.sub(0.5).flatten(1))


def loaded(constructor: Callable[..., nn.Module]) -> LoadedModel:
    return load(ModelSpec.of(constructor, name="net", input_size=8), TARGET)


@pytest.mark.parametrize("constructor", [Normalises, Clears, Transposes, Keeps])
def test_every_pass_gets_the_same_input(constructor: type[Head]) -> None:
    model = loaded(constructor)
    is_said = constructor is not Keeps
    assert ("changes-input" in [note.code for note in model.notes]) is is_said
    assert isinstance(model.module, Head)
    with forward_passes(model):
        runner = Runner(model, None)
        model.module.seen.clear()
        ready = runner.before(None)
        assert (ready is not None) is is_said
        for place in range(4):
            if ready is not None and place % 2:
                ready()
                assert torch.equal(runner.inputs[0], model.module.seen[0])
            runner()
    first, *others = model.module.seen
    assert len(others) == 3
    assert all(torch.equal(first, one) for one in others)


class ByOneThread(Head):
    def forward(self, x: Tensor) -> Tensor:
        torch.set_num_threads(1)
        return self.a(x.flatten(1))


class ByAutocast(Head):
    def forward(self, x: Tensor) -> Tensor:
        torch.set_autocast_enabled("cpu", True)
        torch.set_float32_matmul_precision("high")
        return self.a(x.flatten(1)).float()


class WithinAutocast(Head):
    """Leaves all as it was."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.a(x.flatten(1)).float()


@pytest.mark.parametrize(
    ("constructor", "what"),
    [
        (ByOneThread, "the number of threads"),
        (ByAutocast, "autocast and the precision of products"),
        (WithinAutocast, None),
    ],
)
def test_what_a_pass_sets_for_itself_is_said(constructor: type[Head], what: str | None) -> None:
    before = asked_for()
    for _ in range(2):
        model = load(ModelSpec.of(constructor, input_size=8), TARGET.with_values({"threads": 2}))
        texts = [note.text for note in model.notes if note.code == "sets-for-itself"]
        said = f"its passes set {what} themselves, whatever is asked for"
        assert texts == ([said] if what else [])
    assert asked_for() == before


class Part(Head):
    kept: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.kept is None:
            self.kept = self.a(x.flatten(1))
        return self.kept + self.b(x.flatten(1)).relu().tanh().sigmoid().exp()


def test_part_of_the_results_is_kept() -> None:
    (note,) = loaded(Part).notes
    assert note.code == "keeps-results"
    assert note.text.startswith("a later pass calls 1 products where the first called 2")


class Grows(Head):
    """Of 192 elements an image."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = torch.zeros(0, 192)

    def forward(self, x: Tensor) -> Tensor:
        self.kept = torch.cat([self.kept, x.flatten(1)])
        return self.a(x.flatten(1)) + self.kept.mean()


def test_state_that_grows_is_said() -> None:
    (note,) = loaded(Grows).notes
    assert note.code == "grows"
    assert "each pass returns 192 more elements than the one before" in note.text


class Layered(Head):
    """Leaves its second layer out half of the time, by torch's numbers or Python's."""

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        super().__init__()
        self.draw = draw

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x.flatten(1))
        return y if self.draw() < 0.5 else y + self.b(x.flatten(1))


@pytest.mark.parametrize("draw", [random.random, lambda: float(torch.rand(()))])
def test_layers_that_are_left_out_by_chance_are_named(draw: Callable[[], float]) -> None:
    (note,) = loaded(partial(Layered, draw)).notes
    assert (note.code, note.text) == (
        "draws-at-random",
        "passes call 1 or 2 products: it draws random numbers in evaluation mode, and its time is "
        "that of whatever comes up",
    )


def test_noise_that_changes_no_work_is_named_as_that() -> None:
    class Noisy(Head):
        def forward(self, x: Tensor) -> Tensor:
            return self.a(x.flatten(1) + torch.rand(()))

    (note,) = loaded(Noisy).notes
    assert (note.code, note.text[-21:]) == ("draws-at-random", " its work is the same")


class Remembers(Head):
    """Looks its images up, by where they lie or by what they are."""

    def __init__(self, key: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.key = key
        self.known: dict[object, tuple[Tensor, Tensor]] = {}

    def forward(self, x: Tensor) -> Tensor:
        key = self.key(x)
        if key not in self.known:
            # Kept images keep their place, so that no others come to lie there.
            self.known[key] = (x, self.a(x.flatten(1)).relu().tanh())
        return self.known[key][1]


@pytest.mark.parametrize("key", [Tensor.data_ptr, id, lambda x: x.numpy().tobytes()])
def test_results_that_are_kept_for_the_same_images_are_named(
    key: Callable[[Tensor], object],
) -> None:
    (note,) = loaded(partial(Remembers, key)).notes
    assert note.code == "keeps-results"


class ByForwardMode(Head):
    """Torch knows tangents of weights as zeros without memory."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1)
        along: Tensor = torch.func.jvp(self.a, (rows,), (torch.ones_like(rows),))[1]
        return along


class Padded(nn.Module):
    """Of nested tensors, which an operator that looks for bad values does not take."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.enter, self.encoder = nn.Linear(3, 16), nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2).transpose(1, 2)
        mask = torch.zeros(x.shape[:2], dtype=torch.bool)
        mask[:, 40:] = True
        return self.head(self.encoder(self.enter(x), src_key_padding_mask=mask).mean(1))


class Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.eye(10, 192).to_sparse())

    def forward(self, x: Tensor) -> Tensor:
        return torch.sparse.mm(self.w, x.flatten(1).t()).t()


class Jagged(Head):
    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return self.a(torch.nested.nested_tensor([x, x], layout=torch.jagged)).values()[: len(x)]


class Flexible(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        from torch.nn.attention.flex_attention import flex_attention

        q = x.reshape(-1, 3, 4, 16)
        return self.head(flex_attention(q, q, q).mean((1, 2)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("constructor", [Padded, Sparse, Jagged, Flexible, ByForwardMode])
def test_what_runs_is_timed(constructor: type[nn.Module]) -> None:
    model = loaded(constructor)
    assert model(*model.inputs()).shape == (1, 10)
    unwatched = [note.text for note in model.notes if note.code == "not-watched"]
    assert len(unwatched) == (constructor is Flexible)
    assert all("it does not run while archbench watches its operators" in one for one in unwatched)


class FilledByNumPy(Head):
    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        y = torch.empty(len(x), 10)
        y.numpy()[:] = x.detach().numpy()[:, :10]
        return y + self.a(x)


class Fades(Head):
    """It multiplies by what no filling changes."""

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x.flatten(1)) * 1e-40


def test_values_that_filling_does_not_help_are_the_constructors_again() -> None:
    assert not loaded(FilledByNumPy).notes
    torch.manual_seed(0)
    built = Fades()
    model = loaded(Fades)
    assert [note.code for note in model.notes] == ["doubtful-values"]
    for name, parameter in model.module.named_parameters():
        assert torch.equal(parameter, built.get_parameter(name)), name
