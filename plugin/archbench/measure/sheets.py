"""What one counted pass of a network says, and when that is no count of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from archbench.core.complexity import KINDS, Complexity, SecondOpinion
from archbench.core.errors import NotMeasuredError
from archbench.core.spec import ModelSpec
from archbench.measure.ledger import Ledger
from archbench.measure.parameters import (
    CONVOLUTION,
    bias_params,
    layer_costs,
    param_bytes,
    parameter_metrics,
)

_READS_VALUES = ("_local_scalar_dense", "nonzero", "equal", "masked_select", "_unique2")


class Sheet:
    """What one counted pass says.

    Args:
        spec: the architecture.
        model: that ran.
        inputs: that it ran on.
        ledger: of the pass.
        params: all parameters and the trainable ones, before the pass.

    Attributes:
        draws: whether random numbers were drawn in the pass.

    Raises:
        NotMeasuredError: the count is not of the whole.
    """

    def __init__(
        self,
        spec: ModelSpec,
        model: nn.Module,
        inputs: Sequence[Tensor],
        ledger: Ledger,
        params: tuple[int, int],
    ) -> None:
        self.spec, self.model, self.inputs, self.ledger = spec, model, inputs, ledger
        self.params, self.trainable = params
        self.layers = layer_costs(model, ledger.macs_by_module)
        self.macs = sum(ledger.macs_by_kind.values())
        self.draws = False
        self._refuse_what_was_not_counted()

    @property
    def may_vary(self) -> bool:
        """Whether another pass may do something else."""
        return self.draws or any(self.ledger.calls[name] for name in _READS_VALUES)

    def is_alike(self, other: Sheet) -> bool:
        """Whether two passes did the same, as far as it was seen."""
        return self._did == other._did

    @property
    def _did(self) -> tuple[Any, ...]:
        return self.params, self.macs, self.ledger.calls, self.ledger.strangers

    def refusal(self, reason: str, why: str) -> NotMeasuredError:
        """An error that says why there is no count, and has the parameters all the same."""
        return NotMeasuredError(
            reason, f"{self.spec.id} cannot be counted: {why}", parameter_metrics(self.model)
        )

    def _refuse_what_was_not_counted(self) -> None:
        """A count that cannot be the whole is no count."""
        if self.ledger.failure is not None:
            raise self.refusal(
                "not-counted",
                f"archbench failed to note an operator that it calls ({self.ledger.failure}). "
                "Its latency is measured; please report it with the operator's name",
            )
        if self.ledger.keeps:
            raise self.refusal(
                "structure-varies",
                "it keeps something from one pass to the next: a pass reads what an earlier one "
                "computed from other images, and does not compute it anew. Let the forward pass "
                "be the same each time once self.training is False",
            )
        convolves = any("convolution" in name for name in self.ledger.macs_by_operator)
        if convolves and _scripts_complex_kernels(self.model):
            self.ledger.unknown.add("convolutions of complex numbers in a script")
        if self.ledger.unknown:
            raise self.refusal(
                "operator-not-counted",
                f"it calls {', '.join(sorted(self.ledger.unknown))}, for which there is no "
                "formula. Give it one with torch.utils.flop_counter.register_flop_formula, 0 where "
                "it does not multiply and add",
            )
        if self.ledger.taken:
            raise self.refusal(
                "work-not-seen",
                f"it takes tensors out of torch by {', '.join(sorted(self.ledger.taken))}, and "
                "what is computed with them there is not seen. Compute it with torch's operators",
            )
        if self.ledger.unseen:
            raise self.refusal(
                "work-not-seen",
                f"it runs {', '.join(sorted(self.ledger.unseen))}, which torch's dispatcher does "
                "not show. Run all of it in the thread that calls, through torch's operators",
            )
        if self.params != sum(layer.params for layer in self.layers):
            raise self.refusal(
                "not-counted",
                "its forward pass makes or drops parameters. Make them all in the constructor",
            )
        self._refuse_left_out_layers()

    def _refuse_left_out_layers(self) -> None:
        layers = [
            name
            for name, module in self.model.named_modules()
            if isinstance(module, (CONVOLUTION, nn.Linear))
        ]
        if not self.macs and layers:
            raise self.refusal(
                "not-counted",
                f"it has {len(layers)} layers that multiply and add, {layers[0] or 'itself'} "
                "first, and no operator that does was called: they were left out, or what runs in "
                "their place multiplies element by element, which no count has, or outside of "
                "torch's operators. Call the layers, in the thread that calls the network",
            )

    def complexity(
        self, output_shape: tuple[int, ...], opinion: SecondOpinion | None
    ) -> Complexity:
        """The counts as a value."""
        ledger, model = self.ledger, self.model
        return Complexity(
            input_shape=tuple(self.inputs[0].shape),
            output_shape=output_shape,
            params=self.params,
            trainable_params=self.trainable,
            bias_params=bias_params(model),
            buffers=sum(buffer.numel() for buffer in model.buffers()),
            param_bytes=param_bytes(model),
            macs=self.macs,
            macs_by_kind={kind: ledger.macs_by_kind[kind] for kind in KINDS},
            activations=ledger.activations,
            max_channels=ledger.channels.most(output_shape),
            operator_calls=sum(ledger.calls.values()),
            uncounted={
                name: calls
                for name, calls in sorted(ledger.calls.items())
                if name not in ledger.macs_by_operator
            },
            constants=sum(ledger.constants.values()),
            layers=self.layers,
            second_opinion=opinion,
        )


def _scripts_complex_kernels(model: nn.Module) -> bool:
    """Whether scripted modules have kernels of complex numbers: a script takes their convolutions
    apart into three real ones, and nothing tells that they were one."""
    scripts = (one for one in model.modules() if isinstance(one, torch.jit.ScriptModule))
    return any(
        param.is_complex() and param.dim() > 2 for one in scripts for param in one.parameters()
    )


def _why_it_varies(sheet: Sheet, *, keeps_state: bool) -> str:
    if keeps_state:
        return "it keeps something from one pass to the next"
    if sheet.draws:
        return "it draws random numbers in evaluation mode"
    return "what it does depends on the values in its images"


def refuse_what_varies(first: Sheet, other: Sheet, *, keeps_state: bool) -> None:
    """Refuse a network that is not the same in two passes, and one whose work was not all seen.

    Args:
        first, other: the two passes.
        keeps_state: whether the same images and random numbers give something else again.
    """
    why = _why_it_varies(first, keeps_state=keeps_state)
    remedy = "Let the forward pass be the same each time once self.training is False"
    if first.params != other.params:
        raise first.refusal(
            "structure-varies",
            f"it had {first.params:,} parameters after one pass and {other.params:,} after "
            "another. Make them all in the constructor",
        )
    if first.macs != other.macs:
        raise first.refusal(
            "structure-varies",
            f"two passes multiplied and added {first.macs:,} and {other.macs:,} times: {why}. "
            f"{remedy}",
        )
    if first.ledger.calls != other.ledger.calls:
        more, fewer = first.ledger.calls - other.ledger.calls, other.ledger.calls
        names = sorted({*more, *(fewer - first.ledger.calls)})
        raise first.refusal(
            "structure-varies",
            f"two passes called {', '.join(names[:5])} another number of times: {why}. {remedy}",
        )
    if keeps_state:
        raise first.refusal(
            "structure-varies", f"two passes on the same images are not the same: {why}. {remedy}"
        )
    if first.ledger.strangers != other.ledger.strangers:
        raise first.refusal(
            "work-not-seen",
            "it reads a tensor that is another one for other images, and that none of torch's "
            "operators made here: by NumPy, or in another thread or process. Run all of it in the "
            "thread that calls, through torch's operators",
        )
