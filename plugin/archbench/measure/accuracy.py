"""Top-1 and top-5 of a network over labelled images, one outcome for each."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from archbench.core.accuracy import Outcomes
from archbench.core.errors import AbsentError, NotMeasuredError, is_out_of_memory, named
from archbench.core.images import Image, ImageSet, digest_of
from archbench.core.spec import Target
from archbench.devices.backend import Backend, Batch
from archbench.measure.running import forward_passes, refuse_not_finite
from archbench.models.datasets import read_image_bytes
from archbench.models.labels import columns_for, in_columns
from archbench.models.parameters import hookable
from archbench.models.passes import threads
from archbench.models.preprocessing import ImageTransform, decode, normalized
from archbench.models.weights import WeightedModel

Progress = Callable[[int, int, float], None]
"""Called with the number of images that are done, that of all, and the seconds since the first
batch."""

TOP = 5

LARGEST_BATCH = {"host": 32, "accelerator": 256}
"""Images of a batch: more make neither faster."""

MEMORY_SHARE = 0.5
"""Of the free memory that a batch may take: the loader's batches lie there too."""

PREFETCH = 4
"""Batches that each loading process has ready."""

SHARED = Path("/dev/shm")
"""Where Linux has the memory by which they hand batches over; 64 MB in a container by default."""

UNREADABLE_NAMED = 20
"""Names of images that are kept."""


@dataclass(frozen=True, slots=True)
class Workers:
    """How a machine's cores are shared.

    Attributes:
        loading: processes that decode and resize; 0 where the evaluating one does.
        threads: of the network on a CPU.
    """

    loading: int
    threads: int

    @classmethod
    def of(cls, target: Target, cores: int | None = None) -> Workers:
        """On an accelerator all cores decode, but one that feeds it. On a CPU the network needs
        most of them: a pass takes longer than to decode its images, but for the smallest networks.

        Args:
            target: that the network runs on.
            cores: that this process may use; found out if None.
        """
        if cores is None:
            cores = (
                len(os.sched_getaffinity(0))
                if hasattr(os, "sched_getaffinity")
                else os.cpu_count() or 1
            )
        if not target.is_host:
            return cls(max(cores - 1, 1), target.threads)
        loading = max(cores // 4, 1) if cores > 1 else 0
        return cls(loading, max(target.threads, cores - loading))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        top1, top5: outcomes of the images that could be read. ``top5`` is None where there are
            five classes or fewer.
        unreadable: name and cause of images that could not be read, the first ones.
        unreadable_count: how many there are; they count neither as right nor as wrong.
        seconds: from the first batch asked for to the last score.
        waited: seconds of these in which the network waited for the loader.
        batch_size: images of a batch.
        workers: see :class:`Workers`.
        left_out: loading processes that were left out, since their batches would not fit into the
            memory by which they are handed over.
        lacking: classes of the images that the network cannot say.
        exits: top-1 outcomes of the exits before the last, where all of them were asked for.
    """

    top1: Outcomes
    top5: Outcomes | None
    unreadable: tuple[tuple[str, str], ...]
    unreadable_count: int
    seconds: float
    waited: float
    batch_size: int
    workers: Workers
    left_out: int = 0
    lacking: int = 0
    exits: tuple[Outcomes, ...] = ()

    @property
    def images_per_second(self) -> float:
        """Images that were looked at, readable or not, over the seconds."""
        return (self.top1.images + self.unreadable_count) / self.seconds


class _Pixels(torch.utils.data.Dataset[tuple[Tensor, int, str]]):
    """Images by their index: pixels, index, and why there are none."""

    def __init__(self, images: ImageSet, transform: ImageTransform, empty: Tensor) -> None:
        self._path = Path(images.path)
        self._images = images.images
        self._transform = transform
        self._empty = empty

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int, str]:
        image: Image = self._images[index]
        try:
            return self._transform(decode(read_image_bytes(self._path, image))), index, ""
        except (OSError, ValueError, MemoryError) as error:
            return self._empty, index, named(error)


def _collated(items: Sequence[tuple[Tensor, int, str]]) -> tuple[Tensor, Tensor, list[str]]:
    """Pixels ``(N, 3, H, W)``, in a worker process in memory that the evaluating one reads."""
    pixels: Tensor = torch.utils.data.default_collate([item[0] for item in items])
    return pixels, torch.tensor([item[1] for item in items]), [item[2] for item in items]


def evaluate(
    model: WeightedModel,
    images: ImageSet,
    *,
    workers: Workers | None = None,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Show every image to the network once.

    The batch is halved where memory runs out, and the evaluation goes on.

    Args:
        model: with its weights and what they expect of an image.
        images: with their labels.
        workers: how the cores are shared; chosen by device and cores if None.
        batch_size: images of a batch; chosen by the memory that is free if None.
        progress: called after each batch.

    Raises:
        NotMeasuredError: the network does not know these classes, no image can be read, or scores
            are not finite.
        ArchitectureError: the forward pass fails.
        MemoryError, RuntimeError: not even one image fits into memory.
    """
    workers = workers or Workers.of(model.target)
    # Forward passes have the threads of their target; these have what is left by decoding.
    with forward_passes(model.loaded), threads(workers.threads):
        return _Evaluating(model, images, workers, progress).run(batch_size)


class _Evaluating:
    def __init__(
        self, model: WeightedModel, images: ImageSet, workers: Workers, progress: Progress | None
    ) -> None:
        self._model = model
        self._images = images
        self._workers, self._left_out = workers, 0
        self._progress = progress
        self._device = model.loaded.device
        self._dtype = model.loaded.input_dtype
        self._empty = torch.zeros((3, *model.transform.crop), dtype=torch.uint8)
        probe = self._forward(self._empty[None].to(self._device.place))
        self._exits, _, self._classes = probe.shape
        self._columns = columns_for(self._classes, images, model.spec.id)
        self._has_top5 = len(images.classes) > TOP

    def _forward(self, pixels: Tensor) -> Tensor:
        """Class scores of each exit: ``(exits, N, classes)``."""
        inputs = normalized(pixels, self._model.transform, self._dtype)
        return torch.stack(self._model.exits(inputs))

    def run(self, batch_size: int | None) -> Evaluation:
        size = batch_size or fitting(self._model)
        total = len(self._images.images)
        labels = torch.tensor([image.label for image in self._images.images])
        right = torch.zeros((self._exits, 2, total), dtype=torch.bool)
        unread: dict[int, str] = {}
        dataset = _Pixels(self._images, ImageTransform(self._model.transform), self._empty)
        start = time.perf_counter()
        waited, done = 0.0, 0
        batch_size = min(size, total)
        wanted = self._workers.loading
        loading = min(wanted, loaders_that_fit(batch_size * self._empty.nbytes))
        self._workers, self._left_out = replace(self._workers, loading=loading), wanted - loading
        loader = _loader(dataset, batch_size, loading, self._device)
        # Closed whatever happens: worker processes must not outlive the evaluation.
        with closing(_each(self._device.fed(loader))) as batches:
            while True:
                asked = time.perf_counter()
                batch = next(batches, None)
                waited += time.perf_counter() - asked
                if batch is None:
                    break
                pixels, indices, causes = batch
                unread.update(
                    {int(i): cause for i, cause in zip(indices, causes, strict=True) if cause}
                )
                scores, size = self._scored(pixels, size)
                for place, one in enumerate(scores):
                    right[place, :, indices] = self._judge(one, labels[indices])
                done += len(indices)
                if self._progress is not None:
                    self._progress(done, total, time.perf_counter() - start)
        seconds = time.perf_counter() - start
        return self._result(right, unread, seconds, waited, size)

    def _scored(self, pixels: Tensor, size: int) -> tuple[Tensor, int]:
        """Scores of a batch, in parts of at most ``size`` images, and the size that fitted."""
        while True:
            try:
                parts = [self._forward(part) for part in torch.split(pixels, max(size, 1))]
                return torch.cat(parts, dim=1), size
            except Exception as error:
                if not is_out_of_memory(error) or size <= 1:
                    raise
            size //= 2
            self._device.empty_cache()

    def _judge(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Whether the label is the best of the scores, and among the best five: ``(2, N)``."""
        refuse_not_finite(self._model.loaded, scores, ". Use --dtype=fp32 or bf16")
        scores = in_columns(scores.float(), self._columns)
        best = scores.topk(min(TOP, scores.shape[1]), dim=1).indices.cpu()
        hits = best == labels[:, None]
        return torch.stack([hits[:, 0], hits.any(dim=1)])

    def _result(
        self, right: Tensor, unread: dict[int, str], seconds: float, waited: float, size: int
    ) -> Evaluation:
        images = self._images.images
        readable = [index for index in range(len(images)) if index not in unread]
        if not readable:
            index, cause = next(iter(sorted(unread.items())))
            raise NotMeasuredError(
                "images-unreadable",
                f"none of {len(images):,} images of {self._images.path} can be read, "
                f"{images[index].name} among them: {cause}",
            )
        digest = digest_of(images[index] for index in readable)
        *exits, kept = right[:, :, readable]
        return Evaluation(
            top1=Outcomes.of(kept[0].tolist(), digest),
            top5=Outcomes.of(kept[1].tolist(), digest) if self._has_top5 else None,
            unreadable=tuple(
                (images[index].name, unread[index]) for index in sorted(unread)[:UNREADABLE_NAMED]
            ),
            unreadable_count=len(unread),
            seconds=seconds,
            waited=waited,
            batch_size=size,
            workers=self._workers,
            left_out=self._left_out,
            lacking=0 if self._columns is None else int((self._columns < 0).sum()),
            exits=tuple(Outcomes.of(one[0].tolist(), digest) for one in exits),
        )


def _each(batches: Iterator[Batch]) -> Generator[Batch, None, None]:
    """The same, and what makes them is let go of where this is closed."""
    yield from batches


def _loader(
    dataset: _Pixels, size: int, loading: int, device: Backend
) -> torch.utils.data.DataLoader[Any]:
    return torch.utils.data.DataLoader(
        dataset,
        batch_size=size,
        num_workers=loading,
        collate_fn=_collated,
        pin_memory=device.pins_memory,
        prefetch_factor=PREFETCH if loading else None,
    )


def loaders_that_fit(batch: int, shared: Path = SHARED) -> int:
    """How many loading processes can hand their batches over at once.

    Args:
        batch: bytes of one.
        shared: where the memory for it is.
    """
    if not shared.is_dir():
        return sys.maxsize
    return int(shutil.disk_usage(shared).free * MEMORY_SHARE) // (PREFETCH * max(batch, 1))


def fitting(model: WeightedModel) -> int:
    """Images whose pass fits into the memory that is free; to be called inside of
    :func:`archbench.measure.running.forward_passes`."""
    device = model.loaded.device
    dtype = model.loaded.input_dtype
    largest = LARGEST_BATCH["host" if device.is_host else "accelerator"]

    def image() -> Tensor:
        pixels = torch.zeros((1, 3, *model.transform.crop), device=device.place)
        return normalized(pixels, model.transform, dtype)

    try:
        counters = device.memory()
        counters.reset()
        before = counters.allocated()
        model.scores(image())
        needed, free = counters.peak_allocated() - before, counters.free()
    except AbsentError:
        needed = _activation_bytes(model, image())
        free = psutil.virtual_memory().available
    fitting = int(free * MEMORY_SHARE / max(needed, 1))
    return max(min(fitting, largest), 1)


def _activation_bytes(model: WeightedModel, image: Tensor) -> int:
    """What all modules without children return, together: more than is alive at once."""
    total = image.numel() * image.element_size()

    def add(_module: nn.Module, _inputs: Any, output: Any) -> None:
        nonlocal total
        if isinstance(output, Tensor):
            total += output.numel() * output.element_size()

    hooks = [
        module.register_forward_hook(add)
        for _, module in hookable(model.module)
        if not any(True for _ in module.children())
    ]
    try:
        model.scores(image)
    finally:
        for hook in hooks:
            hook.remove()
    return total
