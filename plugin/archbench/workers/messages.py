"""What a worker and the process that started it say to each other.

A message is a JSON object, of which only what is said is there. A worker begins with its
:class:`Hello`; from then on it speaks when it is spoken to:

====================================  ==========================================================
:class:`Ask`, of who started it       :class:`Said`, by the worker
====================================  ==========================================================
``run``                               any number of ``report``, ``warning``, ``target``,
                                      ``doing``, ``progress`` and ``begins``, then ``ended``; a
                                      side of a paired comparison ``ready`` where the test waits
``burst``                             ``burst``, or ``ended`` where it failed
``modules``                           ``modules``, or ``ended``
``next``                              ``ended``: the test ran to its end
``end``                               nothing: it ends
====================================  ==========================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from archbench.core.differences import ModuleTime
from archbench.core.rounds import Burst
from archbench.core.side_facts import SideFacts
from archbench.core.spec import Target

VERSION = 3
"""Of the messages. Both ends are of one archbench, so there is no talking to another one."""


class _Message(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A message, or a part of one."""


class Ask(_Message, frozen=True):
    """What a worker is to do.

    Attributes:
        do: ``run``, ``burst``, ``modules``, ``next`` or ``end``.
        test: id of the one to run.
        following: id of the next one, so that what both need is kept.
        facts: whether a side is to say all about its network.
        side: whose turn it is.
        seconds: of a burst.
        move: whether the network goes to another place in memory before it.
        passes: of which the fastest is taken, module by module.
    """

    do: str
    test: str = ""
    following: str | None = None
    facts: bool = False
    side: str = ""
    seconds: float = 0.0
    move: bool = False
    passes: int = 0


class Hello(_Message, frozen=True):
    """What a worker says at its start.

    Attributes:
        version: of the messages.
        stacks: whether it writes where each of its threads is, once it is sent a signal.
        tests: ids of those that it has.
        only_here: of a side, ids of the tests that measure and that nobody asked for.
        versions: of its packages, by name.
    """

    version: int
    stacks: bool = False
    tests: tuple[str, ...] = ()
    only_here: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)


class Failure(_Message, frozen=True, kw_only=False):
    """Why a side has no times for a cell.

    Attributes:
        side: ``reference`` or ``candidate``; both where one process held them.
        status: of the verdict: ``crashed``, ``out-of-memory``, ``not-measured``.
        reason: a code for programs.
        sentence: for people.
        details: a traceback, or the last lines that the process printed; may be empty.
    """

    side: str
    status: str = "crashed"
    reason: str = "test-failed"
    sentence: str = "its test ended without being timed"
    details: str = ""


class Ended(_Message, frozen=True):
    """How a test ended.

    Attributes:
        ran: whether it ran at all; another worker takes it otherwise.
        leaves: why the process is of no use for the next test; None where it is.
        ends: why the whole run is to end; None where it is not.
        by: name of the exception that ends it.
        exit_status: with which it then does.
        stops: what the test has set to stop the run, by the attribute of pytest's session.
        failure: why a side has no times; its side is empty where the process's name is to stand.
    """

    ran: bool = True
    leaves: str | None = None
    ends: str | None = None
    by: str = ""
    exit_status: int = 0
    stops: dict[str, str] = field(default_factory=dict)
    failure: Failure | None = None


class Warned(_Message, frozen=True):
    """A warning of a test: its text, where its class is from, and where it was raised."""

    nodeid: str
    text: str
    module: str
    category: str
    file: str
    line: int


class HowFar(_Message, frozen=True):
    """How far a test is that takes long: images of an architecture, and seconds so far."""

    model: str
    done: int
    total: int
    seconds: float


class Said(_Message, frozen=True):
    """What a worker says: one of these.

    Attributes:
        hello: that it is up.
        begins: id of the test whose time begins now.
        report: of a test, in the form in which pytest-xdist sends them.
        warning: of a test.
        target: what a test measures on.
        doing: what a test is at.
        progress: of a test that takes long.
        ready: what each side says of its network, which waits for its turns.
        burst: of a side.
        modules: of a side, by name.
        ended: how a test ended.
    """

    hello: Hello | None = None
    begins: str | None = None
    report: dict[str, Any] | None = None
    warning: Warned | None = None
    target: Target | None = None
    doing: str | None = None
    progress: HowFar | None = None
    ready: Mapping[str, SideFacts] | None = None
    burst: Burst | None = None
    modules: Mapping[str, ModuleTime] | None = None
    ended: Ended | None = None

    @property
    def is_answer(self) -> bool:
        """Whether it answers what was asked, and is not only said meanwhile."""
        return any((self.hello, self.ready, self.burst, self.ended)) or self.modules is not None

    @property
    def renews(self) -> bool:
        """Whether the time of a test starts anew with it."""
        return self.begins is not None or self.progress is not None

    @property
    def fields(self) -> list[str]:
        """Names of what it says."""
        return [name for name in self.__struct_fields__ if getattr(self, name) is not None]
