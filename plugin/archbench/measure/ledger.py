"""Noting every operator of a forward pass: its multiply-adds, in which module, and what it writes.

torch's own counter (``torch.utils.flop_counter``) is the engine: it takes composite operators apart
and has a formula for each operator that multiplies and adds. It reports 2 FLOPs for a multiply-add;
what is noted here is half of that.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.utils.flop_counter import FlopCounterMode

from archbench.core.errors import ArchbenchError, named
from archbench.measure.channels import Channels
from archbench.measure.modes import Functions, NoModules, Noting, take_branch_of_cond
from archbench.measure.operators import (
    flops_by,
    formulas,
    has_no_products,
    ignores_values,
    is_free,
    name_of,
    plain_numbers,
)
from archbench.measure.threads import threads_inside
from archbench.measure.untouched import Untouched
from archbench.models.storages import (
    has_storage,
    is_sparse,
    storage_number,
    tensors_in,
)

_NOTHING = nullcontext()
_KERNEL = "a kernel that writes into a tensor without torch's knowing"


class Ledger:
    """What one forward pass did, in all threads that it starts.

    Args:
        model: that is run.
        inputs: of the pass: images, and further inputs where it has some.
        earlier: ledgers of passes before it.

    Attributes:
        is_real: whether the tensors have values, and are not on meta.
        calls: of operators that write a tensor, by name.
        macs_by_operator, macs_by_kind, macs_by_module: multiply-adds.
        biases: elements that biases were added to, by operator.
        channels: that operators with parameters wrote.
        activations: elements that operators with parameters wrote.
        unknown: operators that may multiply and add, and for which there is no formula.
        uses_threads: whether any of it ran in another thread.
        unseen: what ran where it could not be watched.
        strangers: of the tensors that were read and that no operator seen here has made, those that
            are no weights: a digest of each in their order. What depends on the image among them
            was made out of sight.
        taken: functions by which tensors were taken out of torch.
        keeps: whether it read what an earlier pass computed from its own images.
        constants: elements of tensors that it multiplies with and that are neither parameters nor
            buffers, by memory.
        failure: what went wrong while this was noted, which is no fault of the network.
    """

    def __init__(
        self, model: nn.Module, inputs: Sequence[Tensor], earlier: Sequence[Ledger] = ()
    ) -> None:
        self.calls: Counter[str] = Counter()
        self.macs_by_operator: Counter[str] = Counter()
        self.macs_by_kind: Counter[str] = Counter()
        self.macs_by_module: Counter[nn.Module] = Counter()
        self.biases: Counter[str] = Counter()
        self.activations = 0
        self.unknown: set[str] = set()
        self.unseen: set[str] = set()
        self.uses_threads = False
        self.strangers: list[tuple[tuple[int, ...], float]] = []
        self.taken: set[str] = set()
        self.keeps = False
        self.constants: dict[int, int] = {}
        self.failure: str | None = None
        self._model = model
        self._parts = set(model.modules())
        self._earlier = earlier
        self.channels = Channels()
        self._lock = threading.RLock()
        self._here = threading.local()
        counter = FlopCounterMode(display=False)
        self._formulas: dict[Any, Callable[..., int]] = {**counter.flop_registry, **formulas()}
        # Storages are held weakly: their numbers are not used again while they are noted.
        self._storages: dict[int, StorageWeakRef] = {}
        self._opaque: list[Tensor] = []  # that have no storage, and are held themselves
        self._of_image: set[int] = set()
        self._untouched = Untouched()
        # What products over the image have gone into, and what of tensors that nobody knows.
        self._computed: set[int] = set()
        self._roots: dict[int, frozenset[int]] = {}
        self._strange: dict[int, int] = {}
        self._own: frozenset[int] = frozenset()
        self.is_real = not any(tensor.is_meta for tensor in inputs)
        if self.is_real:
            for tensor in (*model.parameters(), *model.buffers()):
                self._know(tensor)
                self._meet_again(tensor)
            self._own = frozenset(self._storages)
        for tensor in inputs:
            self._of_image.add(self._know(tensor))

    # Watching.

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note what runs inside, in this thread and in those that are started meanwhile."""
        hooks = [
            register_module_forward_pre_hook(self._enter_module),
            register_module_forward_hook(self._leave_module, always_call=True),
        ]
        try:
            with threads_inside(self._in_other_thread), self._in_this_thread():
                yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def _in_this_thread(self) -> Iterator[None]:
        if getattr(self._here, "modules", None) is not None:
            yield
            return
        self._here.modules = [self._model]
        counter = FlopCounterMode(display=False)
        # Made here and not kept: a ledger that holds on to itself keeps its network for the
        # garbage collector.
        counter.flop_registry = {one: partial(self._record, one) for one in self._formulas}
        # Its own attribution to modules is by name only, and half of its time.
        counter.mod_tracker = NoModules()  # type: ignore[assignment]
        try:
            # The mode that is entered last sees an operator first: the counter takes composite
            # operators apart, the ledger sees the parts.
            with ExitStack() as stack:
                if self.is_real:
                    # No architecture of a catalogue needs it, and this asks every function.
                    stack.enter_context(Functions(self))
                stack.enter_context(Noting(self))
                stack.enter_context(counter)
                take_branch_of_cond(counter)
                yield
        finally:
            self._here.modules = None

    @contextmanager
    def _in_other_thread(self) -> Iterator[None]:
        self.uses_threads = True
        with self._in_this_thread():
            yield

    def _enter_module(self, module: nn.Module, _: Any) -> None:
        modules = getattr(self._here, "modules", None)
        if modules is None:
            with self._lock:
                self.unseen.add(f"{type(module).__name__} in a thread that ran already")
        else:
            # One that is kept in a plain list is no part of the network: its work is its caller's.
            modules.append(module if module in self._parts else modules[-1])

    def _leave_module(self, *_: object) -> None:
        modules = getattr(self._here, "modules", None)
        if modules is not None and len(modules) > 1:
            modules.pop()

    # Where tensors come from.

    def _know(self, tensor: Tensor) -> int:
        if not has_storage(tensor):
            self._opaque.append(tensor)
            return storage_number(tensor)
        storage = tensor.untyped_storage()
        number = int(storage._cdata)
        if number not in self._storages:
            self._storages[number] = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
        return number

    def _is_of_image(self, tensor: Tensor) -> bool:
        return storage_number(tensor) in self._of_image

    def about_to_read(self, func: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
        """Take in that an operator is going to run."""
        read = (*tensors_in(args), *tensors_in(kwargs.values()))
        with self._lock:
            if self._untouched.is_written(func, read):
                self.unseen.add(_KERNEL)

    def seen(self, func: Any, args: Any, kwargs: Mapping[str, Any], output: Any) -> None:
        """Take in that an operator ran."""
        read = [*tensors_in(args), *tensors_in(kwargs.values())]
        with self._lock:
            self._follow(func, args, kwargs, read, output)
            if any(map(self._is_of_image, read)):
                self._mark(output)
            self._trace(func, read, output)
            if not is_free(func) and not getattr(self._here, "is_paused", False):
                self._call(func)

    def seen_on_meta(self, func: Any, args: Any, kwargs: Mapping[str, Any], output: Any) -> None:
        """The same where there are no values and no threads, a million times a catalogue."""
        of_image = self._of_image
        for tensor in (*tensors_in(args), *tensors_in(kwargs.values())):
            if tensor.untyped_storage()._cdata in of_image:
                self._mark(output)
                break
        if not is_free(func):
            self._call(func)

    def take_out(self, function: Any, tensor: Tensor) -> None:
        """Take in that a tensor's memory is handed out. One number is looked at, not computed with;
        of integers such as indices only those that come from the image."""
        has_values = tensor.is_floating_point() or tensor.is_complex()
        if tensor.numel() > 1 and (has_values or self._is_of_image(tensor)):
            self.taken.add(f"Tensor.{function.__name__}")

    def _mark(self, output: Any) -> None:
        for tensor in tensors_in([output]):
            self._of_image.add(self._know(tensor))

    def _call(self, func: Any) -> None:
        packet = func._overloadpacket
        name = name_of(packet)
        self.calls[name] += 1
        if packet not in self._formulas and not has_no_products(func):
            self.unknown.add(name)

    def _follow(
        self, func: Any, args: Any, kwargs: Mapping[str, Any], read: Sequence[Tensor], output: Any
    ) -> None:
        """Find tensors that were made or written to out of sight."""
        for tensor in filter(has_storage, read):
            if storage_number(tensor) not in self._storages:
                self._know(tensor)
                self._meet(tensor)
        for tensor in tensors_in([output]):
            self._know(tensor)
        if self._untouched.after(func, args, kwargs, read, output):
            self.unseen.add(_KERNEL)

    def _trace(self, func: Any, read: Sequence[Tensor], output: Any) -> None:
        """Take in what the output of an operator is made of."""
        if ignores_values(func):
            return
        numbers = [storage_number(tensor) for tensor in read]
        is_computed = any(number in self._computed for number in numbers)
        roots = {root for number in numbers for root in self._roots.get(number, ())}
        if is_computed or roots:
            for tensor in tensors_in([output]):
                if is_computed:
                    self._computed.add(storage_number(tensor))
                if roots:
                    self._roots[storage_number(tensor)] = frozenset(roots)

    def _meet_again(self, tensor: Tensor) -> None:
        """Take in whether an earlier pass has computed a tensor, and not in memory that the network
        had been built with, as counters and running means are."""
        number = storage_number(tensor)
        self.keeps = self.keeps or any(
            number in one._computed and number not in one._own for one in self._earlier
        )

    def returned(self, tensors: Iterable[Tensor]) -> None:
        """Take in what the pass has returned."""
        for tensor in tensors:
            if storage_number(tensor) not in self._storages:
                self._meet_again(tensor)
            if self._untouched.holds_more(tensor):
                self.unseen.add(_KERNEL)

    def _meet(self, tensor: Tensor) -> None:
        """Take in a tensor that nothing seen here has made: a constant, if it does not change."""
        self._meet_again(tensor)
        if tensor.numel() > 1:
            number = storage_number(tensor)
            self._roots[number] = frozenset({number})
            self._strange[number] = tensor.untyped_storage().nbytes() // tensor.element_size()
            digest = float(torch.nan_to_num(plain_numbers(tensor)).double().abs().sum())
            self.strangers.append((tuple(tensor.shape), digest))

    # Counting.

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Without noting operators that stand for one that is noted by itself."""
        before = getattr(self._here, "is_paused", False)
        self._here.is_paused = True
        try:
            yield
        finally:
            self._here.is_paused = before

    def _record(self, packet: Any, *args: Any, out_val: Any, **kwargs: Any) -> int:
        if self.is_real and any(tensor.is_meta for tensor in tensors_in([out_val])):
            return 0  # a network asks for a shape
        with self.paused() if self.is_real else _NOTHING:  # a formula may call operators
            try:
                flops = flops_by(self._formulas[packet], args, kwargs, out_val)
            except Exception as error:
                if not self.is_real:
                    raise
                self.failed(packet, error)
                return 0
        if not getattr(self._here, "is_paused", False):
            read = [*tensors_in(args), *tensors_in(kwargs.values())]
            if any(is_sparse(tensor) for tensor in read):
                # By its formula, which is of shapes, zeros that are not there are multiplied too.
                self.unknown.add(f"{name_of(packet)} of sparse tensors")
                return flops
            self.note(name_of(packet), flops, read, out_val)
        return flops

    def failed(self, operator: Any, error: Exception) -> None:
        """Take in that an operator ran and could not be noted."""
        if self.failure is None:
            self.failure = f"{operator}: {named(error)}"

    def note(self, name: str, flops: int, read: Sequence[Tensor], output: Any) -> None:
        """Note an operator that multiplies and adds.

        Raises:
            ArchbenchError: its formula gives an odd number, which is not twice a number of
                multiply-adds.
        """
        if flops % 2:
            raise ArchbenchError(
                f"the formula of {name} says {flops} FLOPs, which are not twice a number of "
                "multiply-adds. Let it return 2 for each"
            )
        if not flops:
            return
        with self._lock:
            self._note(name, flops // 2, read, next(tensors_in([output])))

    def _note(self, name: str, macs: int, read: Sequence[Tensor], written: Tensor) -> None:
        kind = self._kind(name, read)
        if self.is_real:
            self._note_origins(read, written)
        self.macs_by_operator[name] += macs
        self.macs_by_kind[kind] += macs
        self.macs_by_module[self._here.modules[-1]] += macs
        if len(read) == 3 and "attention" not in name and name != "_trilinear":
            self.biases[name] += written.numel()
        if kind == "product":
            return
        self.activations += written.numel()
        if kind == "convolution":
            # A weight that the network computes from the image is no activation of channels.
            # Packed ones are not read.
            weight = storage_number(read[1]) if len(read) > 1 else None
            self.channels.forget(weight)
            image, channels = read[0], written.shape[1]
        else:
            left, right = read[-2:] if len(read) > 1 else (read[0], read[0])
            # The columns, or with the parameters on the left the rows; packed ones are not read.
            rows = len(read) > 1 and self._is_of_image(right) and written.dim() > 1
            image = right if rows else left
            channels = written.shape[-2 if rows else -1] if written.dim() else 1
        self.channels.note(written, image, channels)

    def _note_origins(self, read: Sequence[Tensor], written: Tensor) -> None:
        """Take in that a product was computed, and with which numbers that nobody knows."""
        if any(map(self._is_of_image, read)):
            self._computed.add(storage_number(written))
        for tensor in read:
            if not self._is_of_image(tensor):
                for root in self._roots.get(storage_number(tensor), ()):
                    self.constants[root] = self._strange[root]

    def _kind(self, name: str, read: Sequence[Tensor]) -> str:
        if "conv" in name:
            return "convolution"
        if name.startswith("quantized."):
            return "linear"
        if len(read) < 2 or "attention" in name or all(map(self._is_of_image, read[-2:])):
            return "product"
        return "linear"
