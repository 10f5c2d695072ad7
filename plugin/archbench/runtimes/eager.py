"""Operator by operator, as a network is written."""

from __future__ import annotations

from functools import partial

from archbench.runtimes.registry import register
from archbench.runtimes.runtime import Job, Prepared, Runtime


@register
class Eager(Runtime):
    """See :class:`Runtime`."""

    name = "eager"
    follows_weights = runs_operators = True

    def prepare(self, job: Job) -> Prepared:
        return Prepared(partial(job.module, *job.inputs))
