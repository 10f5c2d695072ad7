"""How ``-n`` hands tests out: architecture by architecture, those first that take longest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, takewhile
from typing import Any

import pytest
from xdist.scheduler import LoadScheduling


class ByArchitecture(LoadScheduling):  # type: ignore[misc]
    """xdist's own way to hand tests out, but for ours, which come first: a worker gets all tests of
    an architecture, so that it is loaded once.

    Args:
        units: gives what is handed out at once, as indices of some tests for a number of workers;
            tests that are not in it are handed out as xdist does.
    """

    def __init__(
        self,
        config: pytest.Config,
        log: Any,
        units: Callable[[Sequence[str], int], list[list[int]]],
    ) -> None:
        super().__init__(config, log)
        self._units = units
        self._unit_of: dict[int, int] | None = None

    def _arranged(self) -> dict[int, int]:
        """The unit of each test by their indices; at first all are put in order, and handed out."""
        if self._unit_of is None:
            units = self._units(self.collection, len(self.nodes))
            self._unit_of = {index: unit for unit, some in enumerate(units) for index in some}
            rest = (index for index in self.pending if index not in self._unit_of)
            self.pending[:] = [*chain(*units), *rest]
            # One for each, before anybody gets a second one.
            for nodes in (self.nodes, self.nodes[::-1]):
                for node in nodes:
                    self._send_unit(node, self._unit_of)
        return self._unit_of

    def _send_unit(self, node: Any, unit_of: dict[int, int]) -> bool:
        """Send the next unit to a worker that has nothing to go on with: it runs a test when it
        knows the one after it. False where it has, or none is next."""
        unit = unit_of.get(self.pending[0]) if self.pending else None
        if unit is None or len(self.node2pending[node]) >= 2:
            return False
        its = takewhile(lambda index: unit_of.get(index) == unit, self.pending)
        super()._send_tests(node, len(list(its)))
        return True

    def _send_tests(self, node: Any, num: int) -> None:
        unit_of = self._arranged()
        while self._send_unit(node, unit_of):
            pass
        if self.pending and self.pending[0] not in unit_of:
            super()._send_tests(node, num)
