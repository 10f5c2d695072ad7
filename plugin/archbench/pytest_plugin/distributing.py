"""What hands the tests of a run to several hosts, by pytest-xdist: loaded where there are some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from types import ModuleType
from typing import Any, NoReturn

import execnet
import pytest
from xdist.scheduler import LoadScheduling

from archbench.core.errors import UsageError
from archbench.core.headers import Sharing
from archbench.core.run_config import RunConfig
from archbench.pytest_plugin import on_host
from archbench.pytest_plugin.asking import GONE, Answer, ask
from archbench.pytest_plugin.hosts import PLUGIN, Host, read_hosts
from archbench.pytest_plugin.manifest import cell_of, is_batchless
from archbench.pytest_plugin.options import is_elsewhere, refusing, shows_only, spelled
from archbench.pytest_plugin.settings import Settings, settings_of

_ANSWERS = 10.0
"""Seconds in which a host has to answer at all."""

_CLEAN = """
import atexit, os, shutil
place = os.path.join(channel.receive(), "processes", str(os.getpid()))
atexit.register(shutil.rmtree, place, True)
"""
"""Removes the messages between processes of a host when its connection ends."""


class Hosts:
    """The plugin that does it.

    Attributes:
        sharing: who else uses the devices of the hosts; by ``cuda:0 of HOST``.
        unmeasured: by test, why no host was left that could run it.
        coming: hosts on which xdist is about to start a worker in place of another one.
    """

    def __init__(self, config: pytest.Config, hosts: Sequence[Host]) -> None:
        self._config = config
        self._hosts = {host.id: host for host in hosts}
        self._answers: dict[str, Answer] = {}
        self._started: Counter[str] = Counter()
        self._lost: dict[str, str] = {}
        self._orphans: dict[Any, str] = {}
        self.coming: list[str] = []
        self.sharing = Sharing()
        self.unmeasured: dict[str, str] = {}

    @property
    def _dsession(self) -> Any:
        """What xdist distributes tests by."""
        return self._config.pluginmanager.get_plugin("dsession")

    def _say(self, text: str) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None:
            terminal.write_line(text)

    # Before anything is measured.

    @pytest.hookimpl
    def pytest_sessionstart(self) -> None:
        """See that every host can do its part; then xdist connects to them.

        Raises:
            pytest.UsageError: one cannot; says which and why.
        """
        config = self._config
        with refusing(config):
            self._use(ask(config, list(self._hosts.values())))
        used = list(self._hosts.values())
        config.option.px = [host.proxy for host in used]
        config.option.tx = [host.worker for host in used for _ in range(host.workers)]

    def _use(self, found: Sequence[tuple[Host, Answer]]) -> None:
        """Take the hosts that have a device which is asked for.

        Raises:
            UsageError: no host has one of them.
        """
        for one in settings_of(self._config).gpu.split(","):
            if not any(one in answer.devices for _, answer in found):
                reasons = "; ".join(f"{host.name}: {answer.absent[one]}" for host, answer in found)
                raise UsageError(f"--gpu={one}", f"no host has it. {reasons}", "Ask for another")
        self._hosts = {host.id: host for host, answer in found if answer.devices}
        self._answers = {host.id: answer for host, answer in found}
        for host, answer in found:
            if not answer.devices:
                reason = next(iter(answer.absent.values()))
                self._say(spelled(self._config, f"host {host.name} is not used: {reason}"))
            for part in ("others", "unknown"):
                there = getattr(answer.sharing, part)
                named = {f"{device} of {host.name}": who for device, who in there.items()}
                getattr(self.sharing, part).update(named)

    # Hooks of xdist.

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self) -> None:
        """Leave nothing behind on the hosts, whatever ends their connections; and start a worker
        on another host where its own is lost in that moment."""
        manager = self._dsession.nodemanager
        for id in self._hosts:
            manager.group[id].remote_exec(_CLEAN).send(self._answers[id].directory)
        set_up = manager.setup_node

        def setup_node(spec: Any, putevent: Any) -> Any:
            while True:
                try:
                    return set_up(spec, putevent)
                except (AssertionError, *GONE):  # an assertion of execnet's
                    if self._dsession.sched is None or not self._is_lost(manager.group, spec.via):
                        raise
                self._move(spec)
                self._dsession.sched.give_up()

        manager.setup_node = setup_node

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker on which host it is, and its number there."""
        id = node.gateway.spec.via
        host = self._hosts[id]
        node.workerinput["archbench_host"] = host.name
        node.workerinput["archbench_roots"] = [str(self._config.rootpath), host.directory]
        node.workerinput["archbench_number"] = self._started[id]
        self._started[id] += 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_getremotemodule(self) -> ModuleType:
        """What a worker begins with."""
        return on_host

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> ByDevice:
        """pytest-xdist's own, which looks for the device of a test."""
        return ByDevice(config, log, self)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object | None) -> None:
        """Let another host take over what a lost one was to measure: xdist starts a worker there in
        place of the one that died."""
        if error is None:
            return
        spec = node.gateway.spec
        if self._is_lost(node.nodemanager.group, spec.via):
            _forget(node.gateway)
            self._orphans[node] = self._lost[spec.via]
            self._move(spec, node)
        else:
            self.coming.append(spec.via)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(
        self, crashitem: str, report: pytest.TestReport, sched: ByDevice
    ) -> None:
        """A test that was running on a lost host runs again on one that has its device."""
        sentence = self._orphans.get(report.node)
        if sentence is None:
            return  # its worker died, and the host is there
        if sched.can_run(crashitem):
            report.outcome = "rerun"  # type: ignore[assignment]
            sched.mark_test_pending(crashitem)
        else:
            report.longrepr = self.unmeasured[crashitem] = sentence

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Have xdist wait for no process of a host that is gone."""
        manager = self._dsession.nodemanager
        for gateway in list(manager.group) if manager is not None else ():
            if gateway.spec.via and self._is_lost(manager.group, gateway.spec.via):
                _forget(gateway)

    # Hosts and tests.

    def _move(self, spec: Any, node: Any = None) -> None:
        """Choose another host for a worker, that has the devices of most tests: those of a worker
        that died, and those of none yet."""
        sched, group = self._dsession.sched, self._dsession.nodemanager.group
        living = [id for id in self._hosts if not self._is_lost(group, id)]
        self.coming = [id for id in self.coming if id in living]
        if not living:
            self._end(sched)
        needed = [self._device(test) for test in sched.waiting(node)]
        best = max(living, key=lambda id: sum(self._has(id, one) for one in needed))
        spec.via, spec.python = best, self._hosts[best].quoted_python
        self.coming.append(best)

    def _is_lost(self, group: execnet.Group, id: str) -> bool:
        if id not in self._lost:
            try:
                group[id].remote_exec("channel.send(1)").receive(_ANSWERS)
            except GONE:
                self._lost[id] = f"host {self._hosts[id].name} was lost during the run"
                self._say(f"\n{self._lost[id]}")
        return id in self._lost

    def _device(self, test: str) -> str:
        """The device that a test asks for; empty where any host will do."""
        _, suffix = cell_of(test) or ("", "")
        several = settings_of(self._config).gpu.split(",")
        if not suffix or len(several) == 1:
            return ""
        return several[0] if is_batchless(suffix) else RunConfig.parse(suffix).asked

    def _has(self, id: str, device: str) -> bool:
        return not device or device in self._answers[id].devices

    def runs(self, id: str, test: str) -> bool:
        """Whether a host has the device that a test asks for."""
        return self._has(id, self._device(test))

    def give_up(self, test: str) -> None:
        """Report a test that nobody can run any more."""
        self.unmeasured[test] = f"{'; '.join(self._lost.values())}, and no other one has its device"
        place = (test.partition("::")[0], None, test)
        report: Any = pytest.TestReport(test, place, {}, "failed", self.unmeasured[test], "call")
        report.when = "???"  # as xdist does
        self._config.hook.pytest_runtest_logreport(report=report)

    def _end(self, sched: ByDevice) -> NoReturn:
        for test in dict.fromkeys(
            one for node in (*sched.nodes, None) for one in sched.waiting(node)
        ):
            self.give_up(test)
        pytest.exit("every host was lost", returncode=pytest.ExitCode.INTERRUPTED)


def _forget(gateway: execnet.Gateway) -> None:
    """execnet would ask the proxy for the process behind it, and the proxy is gone."""
    gateway._io.wait = gateway._io.kill = lambda: None  # type: ignore[method-assign]


class ByDevice(LoadScheduling):  # type: ignore[misc]
    """xdist's own way to hand tests out, to each worker those of devices that its host has."""

    def __init__(self, config: pytest.Config, log: Any, hosts: Hosts) -> None:
        super().__init__(config, log)
        self._of = hosts

    def waiting(self, node: Any) -> list[str]:
        """Tests of a worker, and those of none yet."""
        some = [*self.node2pending.get(node, ()), *self.pending]
        return [self.collection[index] for index in some] if self.collection else []

    def can_run(self, test: str) -> bool:
        """Whether there is a worker for a test, or one comes up."""
        there = [one.gateway.spec.via for one in self.nodes if not one.shutting_down]
        return any(self._of.runs(id, test) for id in (*there, *self._of.coming))

    def add_node(self, node: Any) -> None:
        """A worker has come up."""
        super().add_node(node)
        if node.gateway.spec.via in self._of.coming:
            self._of.coming.remove(node.gateway.spec.via)

    def schedule(self) -> None:
        """Hand out what a worker has to begin with."""
        super().schedule()
        self.give_up()
        for node in self.nodes:
            self.check_schedule(node)

    def remove_node(self, node: Any) -> str | None:
        """Take back what a worker has not run."""
        crashed: str | None = super().remove_node(node)
        self.give_up()
        return crashed

    def give_up(self) -> None:
        """Report the tests that no worker can run, of those that are there or come up."""
        for index in list(self.pending):
            if not self.can_run(self.collection[index]):
                self.pending.remove(index)
                self._of.give_up(self.collection[index])

    def _send_tests(self, node: Any, num: int) -> None:
        ours = (i for i in self.pending if self._of.runs(node.gateway.spec.via, self.collection[i]))
        some = list(islice(ours, num))
        if some:
            self.pending[:] = [index for index in self.pending if index not in set(some)]
            self.node2pending[node].extend(some)
            node.send_runtest_some(some)
        elif not node.shutting_down:
            node.shutdown()


def hosts_of_specs(specs: Sequence[str]) -> tuple[Host, ...]:
    """The hosts of ``--tx``, each once; empty where all workers are on this machine.

    Raises:
        UsageError: a gateway is none of ssh, or some are and others are not.
    """
    found: dict[Host, int] = {}
    local = []
    for text in specs:
        number, star, rest = text.partition("*")
        count, rest = (int(number), rest) if star and number.isdigit() else (1, text)
        try:
            spec = execnet.XSpec(rest)
        except (ValueError, AttributeError, IndexError) as error:
            raise UsageError(
                f"--tx={text}", str(error), "Write --tx=ssh=HOST//python=PATH"
            ) from None
        if spec.socket or spec.installvia:
            raise UsageError(
                f"--tx={text}", "a socket gateway sends everything in clear, and runs what anybody "
                "sends to it", "Use ssh: --tx=ssh=HOST//python=PATH//chdir=DIRECTORY",
            )  # fmt: skip
        if not spec.ssh:
            local.append(text)
            continue
        more = [f"env:{name}={value}" for name, value in spec.env.items()]
        more += [f"nice={spec.nice}"] if spec.nice else []
        host = Host(
            spec.ssh.split()[-1], spec.ssh, spec.python or "python", spec.chdir or "",
            ssh_config=spec.ssh_config, more=tuple(more),
        )  # fmt: skip
        found[host] = found.get(host, 0) + count
    if found and local:
        raise UsageError(
            f"--tx={local[0]}", "other workers are on other hosts",
            "Give this machine by ssh too, as --tx=ssh=localhost//python=PATH",
        )  # fmt: skip
    names = [host.name for host in found]
    return tuple(
        replace(host, workers=count, name=host.name if names.count(host.name) == 1 else str(number))
        for number, (host, count) in enumerate(found.items(), 1)
    )


def _refuse_contradictions(config: pytest.Config, settings: Settings, asked: str) -> None:
    dist = config.option.dist
    is_said = "--dist=no" in "=".join(map(str, config.invocation_params.args))
    idle = "pytest-xdist would hand nothing out, and measure all here"
    for is_so, other, found, todo in (
        (settings.against, "--against", "the two sides of a paired comparison take turns on one "
         "machine", "Run it on the host"),
        (settings.imagenet, "--imagenet", "what a network says of each image stays on the host",
         "Run it on the host"),
        (settings.shard, "--shard", "hosts share the tests among themselves", "Give one of them"),
        (config.option.numprocesses is not None, "-n", "-n is about workers on this machine",
         "Leave it out: a host's workers are said with the host"),
        (dist == "no" and is_said, "--dist=no", idle, "Leave --dist=no out"),
        (dist == "no" and settings.hosts is None, "--dist=no", f"{idle}; no is its default",
         "Add --dist=load"),
        (dist not in ("no", "load"), f"--dist={dist}", "only load hands the tests of a lost host "
         "to the others", "Use --dist=load"),
        (config.option.px, "--px", "archbench makes a proxy for each host", "Leave --px out"),
    ):  # fmt: skip
        if is_so:
            raise UsageError(f"{asked} with {other}", found, todo)


def begin(config: pytest.Config) -> None:
    """Make a run one on several hosts, where that is asked for; or this process the worker of one.

    Raises:
        pytest.UsageError: it makes no sense; says what to type instead.
    """
    if is_elsewhere(config):
        on_host.leave_out(config)
        return
    option = config.option
    has_xdist = config.pluginmanager.has_plugin("xdist")
    with refusing(config):
        settings = settings_of(config)
        asked = f"--hosts={settings.hosts}" if settings.hosts is not None else "--tx"
        if not has_xdist:
            raise UsageError(
                asked, "pytest-xdist is not active", "Install it; leave -p no:xdist out"
            )
        if settings.hosts is None:
            hosts = hosts_of_specs(option.tx)
        elif option.tx and option.numprocesses is None:
            raise UsageError(f"{asked} with --tx", "both say where tests run", "Give one of them")
        else:
            hosts = read_hosts(settings.hosts)
        if not hosts or shows_only(config):
            return
        _refuse_contradictions(config, settings, asked)
    option.dist, option.tx = "load", [host.worker for host in hosts]  # checked and counted later
    if option.maxworkerrestart is None:
        # pytest-xdist would start workers for ever that die at their start.
        option.maxworkerrestart = str(4 * sum(host.workers for host in hosts))
    config.pluginmanager.register(Hosts(config, hosts), PLUGIN)
