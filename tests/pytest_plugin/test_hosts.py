"""Several hosts: two sshd on loopback, with keys, ports and variables of their own.

Where there is no sshd the tests that need one are skipped, unless ARCHBENCH_REQUIRE_SSHD=1.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from archbench.core.errors import UsageError
from archbench.pytest_plugin import repeated
from archbench.pytest_plugin.distributing import hosts_of_specs
from archbench.pytest_plugin.hosts import Host, read_hosts
from archbench.pytest_plugin.on_host import mapped, sources_in
from tests.pytest_plugin.small_networks import networks

pytestmark = pytest.mark.usefixtures("preloaded_python")

PLUGIN = Path(__file__).parents[2] / "plugin"
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

NAMES = ("One", "Two", "Three", "Four")
NETS = networks(*NAMES)
COUNTS = """
    def test_count(bench, model_spec):
        bench.complexity(model_spec)
"""
TIMES = """
    def test_latency(bench, loaded_model):
        bench.latency(loaded_model)
"""
# Of the processes of a host only: where a test ran, and a host that dies over its first one.
CONFTEST = """
    import os, pathlib, signal, time
    import psutil, pytest

    if os.environ.get("HAS_SIM"):
        import one_device

    @pytest.fixture(autouse=True)
    def noted(request):
        where = os.environ.get("WHERE")
        if where is None:
            return
        with open(where, "a") as file:
            file.write(request.node.nodeid + "\\n")
        if pathlib.Path(where + ".cut").exists():
            os.unlink(where + ".cut")
            sshd = psutil.Process(int(pathlib.Path(where + ".pid").read_text()))
            processes = [sshd, *sshd.children(recursive=True)]
            for process in [one for one in processes if "sshd" in one.name()]:
                process.kill()
            time.sleep(60)
        if pathlib.Path(where + ".doomed").exists():
            sshd = psutil.Process(int(pathlib.Path(where + ".pid").read_text()))
            others = [one for one in sshd.children(recursive=True) if one.pid != os.getpid()]
            for process in [sshd, *others]:
                process.kill()
            os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass
class Sshd:
    """A host: its own key, port, variables and directory of the project."""

    place: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def is_started(self, *, must_be: bool = True) -> bool:
        """Start it, unless somebody else has its port."""
        assert SSHD is not None
        log = self.place / "log"
        with log.open("wb") as stream:
            config = str(self.place / "sshd_config")
            self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=stream)
        (self.place / "ran.pid").write_text(str(self.process.pid))
        for _ in range(600):
            # Whoever else has the port answers there too.
            if "Server listening on 127.0.0.1" in log.read_text():
                return True
            if not self.is_up():
                break
            time.sleep(0.1)
        if must_be:
            pytest.fail(f"sshd did not come up: {log.read_text()}")
        return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ran(self) -> list[str]:
        where = self.place / "ran"
        return where.read_text().split() if where.exists() else []


@dataclass
class Hosts:
    """Two of them, and a project that both have."""

    pytester: pytest.Pytester
    keys: Path
    hosts: dict[str, Sshd] = field(default_factory=dict)

    def start(self, name: str, **variables: str) -> None:
        place = self.pytester.path.parent / f"{self.pytester.path.name}-{name}"
        place.mkdir()
        key = _key(place / "host_key")
        # What is read at a start is as here, so that its processes begin with everything imported.
        read = ("PYTHON", "LANG", "LC_", "OPENBLAS_", "OMP_", "MKL_")
        variables = {
            **{name: value for name, value in os.environ.items() if name.startswith(read)},
            "PYTHONPATH": f"{PLUGIN}:{place / 'more'}", "WHERE": str(place / "ran"),
            **variables,
        }  # fmt: skip
        for tries_left in (2, 1, 0):
            with socket.socket() as bound:
                bound.bind(("127.0.0.1", 0))
                port = bound.getsockname()[1]
            (place / "sshd_config").write_text(
                f"Port {port}\nListenAddress 127.0.0.1\nHostKey {place / 'host_key'}\n"
                f"PidFile none\nAuthorizedKeysFile {self.keys}.pub\nStrictModes no\nUsePAM no\n"
                "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
                "PermitRootLogin prohibit-password\n"
                f"SetEnv {' '.join(f'{name}={value}' for name, value in variables.items())}\n"
            )
            host = self.hosts[name] = Sshd(place, port)
            if host.is_started(must_be=not tries_left):
                break  # nobody has taken the port in between
        with (self.keys.parent / "known_hosts").open("a") as known:
            known.write(f"[127.0.0.1]:{port} {key}\n")
        with (self.keys.parent / "ssh_config").open("a") as ssh:
            ssh.write(
                f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n"
                f"  IdentityFile {self.keys}\n  IdentitiesOnly yes\n"
                f"  UserKnownHostsFile {self.keys.parent / 'known_hosts'}\n"
                "  GlobalKnownHostsFile /dev/null\n"
            )

    def write(self, *, directory: str = "", **more: Any) -> None:
        """A file of hosts; the project is copied to each."""
        text = ""
        for name, host in self.hosts.items():
            project = host.place / "project"
            shutil.copytree(self.pytester.path, project, dirs_exist_ok=True)
            stated = {"python": sys.executable, "directory": directory or str(project)}
            stated |= {"ssh_config": str(self.keys.parent / "ssh_config")}
            stated |= {key: value[name] for key, value in more.items() if name in value}
            lines = (f"{key} = {json.dumps(value)}" for key, value in stated.items())
            text += "\n".join((f"[hosts.{name}]", *lines, ""))
        (self.pytester.path / "hosts.toml").write_text(text)

    def run(
        self, *arguments: str, hosts: str = "--archbench-hosts=hosts.toml", names: Any = NAMES
    ) -> Any:
        models = (f"--archbench-models=nets.py:{name}" for name in names)
        return self.pytester.runpytest_subprocess(*arguments, *models, hosts)

    def results(self) -> Any:
        return json.loads((self.pytester.path / "results.json").read_text())


def _key(path: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.with_name(f"{path.name}.pub").read_text().strip()


@pytest.fixture
def hosts(pytester: pytest.Pytester, tmp_path: Path) -> Iterator[Hosts]:
    """Nothing runs yet."""
    if SSHD is None or shutil.which("ssh") is None:
        reason = "no sshd here: apt-get install openssh-server openssh-client"
        if os.environ.get("ARCHBENCH_REQUIRE_SSHD") == "1":
            pytest.fail(f"{reason}, and ARCHBENCH_REQUIRE_SSHD=1 asks for one")
        pytest.skip(reason)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # of its separated process
    (tmp_path / "ssh").mkdir()
    _key(tmp_path / "ssh" / "user_key")
    pytester.makepyfile(nets=NETS, test_count=COUNTS, test_times=TIMES)
    pytester.makeconftest(CONFTEST)
    found = Hosts(pytester, tmp_path / "ssh" / "user_key")
    yield found
    for host in found.hosts.values():
        host.stop()


@pytest.fixture
def two(hosts: Hosts) -> Hosts:
    """Two hosts that are up."""
    hosts.start("one")
    hosts.start("two")
    return hosts


def left_behind(hosts: Hosts) -> list[str]:
    """What is still there of a run, after a few seconds."""
    for _ in range(600):
        found = [
            str(path)
            for host in hosts.hosts.values()
            for path in (host.place / "project" / ".archbench").glob("processes/*")
        ]
        for host in hosts.hosts.values():
            if host.process is not None and host.is_up():
                children = psutil.Process(host.process.pid).children(recursive=True)
                found += [" ".join(child.cmdline()) for child in children]
        if not found:
            return []
        time.sleep(0.1)
    return found


def without_times(cells: list[dict[str, Any]]) -> list[Any]:
    """What counts and verdicts say, in the order of names."""
    counted = [(one["id"], one["metrics"], one["verdicts"], one["notes"]) for one in cells]
    return sorted(counted, key=lambda one: str(one[0]))


def test_two_hosts_come_to_what_one_process_comes_to(two: Hosts) -> None:
    two.write()
    given = ("test_count.py", "--archbench-gpu=cpu", "--archbench-results=results.json", "-v")
    models = (f"--archbench-models=nets.py:{name}" for name in NAMES)
    alone = two.pytester.runpytest_inprocess(*given, *models)
    alone.assert_outcomes(passed=4)
    before = two.results()
    result = two.run(*given, "--archbench-baseline-update", "--junitxml=junit.xml")
    result.assert_outcomes(passed=4)
    assert without_times(two.results()["cells"]) == without_times(before["cells"])
    ran = {name: two.hosts[name].ran() for name in two.hosts}
    assert all(len(some) == 2 for some in ran.values())
    assert sorted(test for some in ran.values() for test in some) == [
        f"test_count.py::test_count[local/{name}]" for name in sorted(NAMES)
    ]
    lines = (two.pytester.path / "baselines" / "complexity.jsonl").read_text().splitlines()
    assert len(lines) == 1 + 4
    assert (two.pytester.path / "junit.xml").read_text().count("<testcase") == 4
    assert left_behind(two) == []


def test_process_runs_are_of_the_host_and_artefacts_of_the_controller(two: Hosts) -> None:
    two.write()
    result = two.pytester.runpytest_subprocess(
        "test_times.py", "--archbench-gpu=cpu", "--archbench-processes=2",
        "--archbench-time-budget=0.3", "--archbench-results=results.json", "--benchmark-autosave",
        "--archbench-models=nets.py:One", "--archbench-models=nets.py:Two",
        "--archbench-hosts=hosts.toml", "-v",
    )  # fmt: skip
    result.assert_outcomes(passed=2)
    cells = two.results()["cells"]
    assert [len(one["metrics"]["latency"]["process_runs"]) for one in cells] == [2, 2]
    # Two processes that measured, and the test that judged.
    assert [len(host.ran()) for host in two.hosts.values()] == [3, 3]
    stored = list((two.pytester.path / ".benchmarks").rglob("*.json"))
    assert len(stored) == 1
    assert len(json.loads(stored[0].read_text())["benchmarks"]) == 2
    for host in two.hosts.values():
        assert not list((host.place / "project").rglob("journal.jsonl"))
    assert left_behind(two) == []


def test_what_only_a_lost_host_could_measure_is_not_measured(hosts: Hosts) -> None:
    device = Path(__file__).parents[1] / "outside" / "one_device.py"
    shutil.copy(device, hosts.pytester.path)
    hosts.start("one")
    hosts.start("two", HAS_SIM="1")
    hosts.write(devices={"two": ["cpu", "sim"]})
    (hosts.hosts["two"].place / "ran.doomed").touch()
    names = ("One", "Two")
    given = ("test_times.py", "--archbench-gpu=cpu,sim", "--archbench-results=results.json")
    result = hosts.run(*given, "--archbench-quick", names=names)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert sorted(hosts.hosts["one"].ran()) == [
        f"test_times.py::test_latency[local/{name}-fp32-b1@cpu]" for name in names
    ]
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        ["*2 tests were not measured: hosts were lost. --archbench-resume goes on*"]
    )
    lost = [one for one in hosts.results()["cells"] if one["verdicts"]]
    assert {(one["verdicts"][0]["status"], one["verdicts"][0]["reason"]) for one in lost} == {
        ("not-measured", "host-lost")
    }
    # It comes back, and what was lost is measured.
    two = hosts.hosts["two"]
    (two.place / "ran.doomed").unlink()
    (two.place / "ran").unlink()
    two.is_started()
    result = hosts.run(*given, "--archbench-quick", "--archbench-resume", names=names)
    assert result.ret == pytest.ExitCode.OK
    assert sorted(two.ran()) == [
        f"test_times.py::test_latency[local/{name}-fp32-b1@sim]" for name in names
    ]
    assert len(hosts.results()["cells"]) == 4


def test_another_host_takes_over_from_one_that_is_cut_off(two: Hosts) -> None:
    two.write()
    (two.hosts["two"].place / "ran.cut").touch()
    result = two.run("test_count.py", "--archbench-gpu=cpu", "--archbench-results=results.json")
    result.stdout.fnmatch_lines(["*host two was lost during the run*"])
    result.assert_outcomes(passed=4)
    assert result.ret == pytest.ExitCode.OK
    assert len(two.hosts["one"].ran()) == 4
    assert len(two.hosts["two"].ran()) == 1
    assert all("params" in one["metrics"] for one in two.results()["cells"])
    # Nothing goes on there, where nobody takes the results.
    project = str(two.hosts["two"].place / "project")
    for _ in range(300):
        there = [one for one in psutil.process_iter(["cwd"]) if one.info["cwd"] == project]
        if not there:
            return
        time.sleep(0.1)
    pytest.fail(f"still there: {[one.cmdline() for one in there]}")


def test_a_run_ends_when_every_host_is_lost(two: Hosts) -> None:
    two.write()
    for host in two.hosts.values():
        (host.place / "ran.doomed").touch()
    result = two.run("test_count.py", "--archbench-gpu=cpu")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["archbench: 4 tests were not measured: hosts were lost.*", "*every host was lost*"]
    )


def entry(name: str, **keys: Any) -> str:
    lines = (f"{key} = {json.dumps(value)}" for key, value in keys.items())
    return "\n".join((f"[hosts.{name}]", *lines, ""))


def test_a_host_that_must_not_measure_is_refused_with_the_reason(hosts: Hosts) -> None:
    hosts.start("one")
    hosts.start("two")
    hosts.write()
    older = hosts.hosts["two"].place / "more" / "torch-0.4.1.dist-info"
    older.mkdir(parents=True)
    (older / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 0.4.1\n")
    bare = hosts.pytester.path.parent / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    project = str(hosts.hosts["one"].place / "project")
    changed = hosts.pytester.path.parent / "changed"
    shutil.copytree(project, changed)
    (changed / "nets.py").write_text(f"{NETS}\n    # another one")
    (changed / "test_more.py").touch()
    ssh = {"ssh_config": str(hosts.keys.parent / "ssh_config"), "python": sys.executable}
    there = {**ssh, "ssh": "one", "directory": project}
    (hosts.pytester.path / "hosts.toml").write_text(
        entry("bare", **{**there, "python": str(bare / "bin" / "python")})
        + entry("away", **{**there, "directory": "/no/such/place"})
        + entry("changed", **{**there, "directory": str(changed)})
        + entry("older", **{**there, "ssh": "two"})
        + entry("lacking", **there, devices=["cuda"])
        + entry("nosuch", **{**ssh, "ssh": "no-such-host.invalid"})
        + entry("nopython", **{**there, "python": "/no/such/python"})
    )
    result = hosts.run("test_count.py", "--archbench-gpu=cpu")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    import torch

    here = torch.__version__.partition("+")[0]
    result.stderr.fnmatch_lines(
        [
            "*host bare: archbench is not installed in the environment of its Python. *",
            "host away: it has no directory /no/such/place. *",
            "host changed: its project is another one: nets.py, test_more.py differ. *",
            f"host older: it has torch 0.4.1 there and {here} here. *",
            "host lacking: it is to be used for cuda: *cpu*",
            "host nosuch: ssh does not reach 'no-such-host.invalid'*",
            "host nopython: /no/such/python did not answer there *",
        ]
    )
    assert hosts.hosts["one"].ran() == []


def test_a_host_whose_key_is_not_known_is_refused(hosts: Hosts) -> None:
    hosts.start("one")
    hosts.write()
    (hosts.keys.parent / "known_hosts").write_text("")
    # What a person allows for other programs does not hold here.
    config = hosts.keys.parent / "ssh_config"
    config.write_text(f"StrictHostKeyChecking no\n{config.read_text()}")
    result = hosts.run("test_count.py", "--archbench-gpu=cpu")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*Host key verification failed.*", "*ssh does not reach 'one'*"])


def test_tx_of_xdist_is_taken_as_it_is(two: Hosts) -> None:
    two.write()
    (two.pytester.path / "hosts.toml").unlink()  # which the hosts have not
    config = two.keys.parent / "ssh_config"
    xspecs = (
        f"--tx=ssh={name}//ssh_config={config}//python={sys.executable}//chdir={host.place}/project"
        for name, host in two.hosts.items()
    )
    result = two.run("test_count.py", "--archbench-gpu=cpu", *xspecs, hosts="--dist=load")
    result.assert_outcomes(passed=4)
    assert all(len(host.ran()) == 2 for host in two.hosts.values())
    # Nothing was copied there.
    assert not (two.hosts["one"].place / "project" / "pytest").exists()


# Without any host.

GOOD = '[hosts.a]\npython = "/x/bin/python"\n'


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        (None, (), "*hosts.toml: there is no such file. Write a table for each host: [[]hosts.*"),
        ("[hosts", (), "*hosts.toml: it is not TOML: *"),
        ("", (), "*hosts.toml: it names no hosts. Write a table for each host: [[]hosts.*"),
        ("hosts = 3", (), "*hosts.toml: it names no hosts. *"),
        (
            "[hosts]\na = 3",
            (),
            "*hosts.a: it is 3, and a host is a table. Write [[]hosts.a] in*ssh, *",
        ),
        ("[other]", (), "*hosts.toml: other: there is no such key. *"),
        (
            '[hosts.a]\npyhton = "x"',
            (),
            "*hosts.a.pyhton: a host has no such key. Use ssh, python, directory, *",
        ),
        ("[hosts.a]\nworkers = 'two'", (), "*hosts.a: Expected `int`, got `str` - at `$.workers`*"),
        ("[hosts.a]\nworkers = 0", (), "*hosts.a.workers: 0 is below 1. *"),
        ("[hosts.a]\nssh = '-oProxyCommand=x'", (), "*hosts.a: '-oProxyCommand=x' is no name *"),
        ("[hosts.'a b']\nssh = 'a'", (), "*hosts.a b: it is no name of a table. Name it without *"),
        ("[hosts.a]\npython = 'a//b'", (), "*hosts.a.python: execnet takes no path with //*"),
        (GOOD, ("--tx=ssh=b",), "*--archbench-hosts=*hosts.toml with --tx: both say where *"),
        (GOOD, ("-n", "2"), "*hosts.toml with -n: -n is about workers on this machine. *"),
        (GOOD, ("--dist=no",), "*with --dist=no: pytest-xdist would hand nothing out, *"),
        (GOOD, ("--dist=each",), "*with --dist=each: only load hands *"),
        (GOOD, ("--px=ssh=b//id=c",), "*with --px: archbench makes a proxy for each host. *"),
        (GOOD, ("--archbench-against=HEAD",), "*with --archbench-against: the two sides *"),
        (GOOD, ("--archbench-imagenet=.",), "*with --archbench-imagenet: what a network says *"),
        (GOOD, ("--archbench-shard=1/2",), "*with --archbench-shard: hosts share the tests *"),
        (GOOD, ("-p", "no:xdist"), "*hosts.toml: pytest-xdist is not active. *"),
    ],
)
def test_hosts_that_make_no_sense_are_refused(
    suite: pytest.Pytester, text: str | None, arguments: tuple[str, ...], said: str
) -> None:
    if text is not None:
        suite.path.joinpath("hosts.toml").write_text(text)
    result = suite.runpytest_inprocess("test_bench.py", "--archbench-hosts=hosts.toml", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tx=socket=b:8888", "--dist=load"), "*--tx=socket=b:8888: a socket gateway sends *"),
        (("--tx=ssh=b",), "*--tx with --dist=no: *; no is its default. Add --dist=load*"),
        (("--tx=ssh=b", "--tx=popen", "--dist=load"), "*--tx=popen: other workers are on other *"),
        (("--tx=ssh=a//ssh=b", "--dist=load"), "*--tx=ssh=a//ssh=b: duplicate key*"),
    ],
)
def test_gateways_that_make_no_sense_are_refused(
    suite: pytest.Pytester, arguments: tuple[str, ...], said: str
) -> None:
    result = suite.runpytest_inprocess("test_bench.py", "--archbench-gpu=cpu", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])


def test_a_gateway_that_nobody_has_looked_at_is_refused(suite: pytest.Pytester) -> None:
    given = ("--archbench-gpu=cpu", "--archbench-models=small_net.py:small", "--dist=load")
    result = suite.runpytest_subprocess(
        "test_bench.py", *given, "--px=popen//id=other", "--tx=popen//via=other"
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--tx: tests that measure run on other hosts, and archbench *"])


def test_workers_of_tx_on_this_machine_need_no_hosts(suite: pytest.Pytester) -> None:
    given = ("test_bench.py::test_complexity", "--archbench-models=small_net.py:small")
    for more in (("--tx=2*popen", "--dist=load"), ("--tx=popen",)):
        result = suite.runpytest_subprocess(*given, "--archbench-gpu=cpu", *more)
        result.assert_outcomes(passed=1)


def test_hosts_of_xspecs() -> None:
    assert hosts_of_specs(["2*popen"]) == ()
    spec = "ssh=-p 22 me@a//python=/x y/python//chdir=/p//env:A=1//nice=5"
    assert hosts_of_specs([f"2*{spec}", spec]) == (
        Host("me@a", "-p 22 me@a", "/x y/python", "/p", workers=3, more=("env:A=1", "nice=5")),
    )
    assert [one.name for one in hosts_of_specs(["ssh=a//chdir=/p", "ssh=a//chdir=/q"])] == [
        "1",
        "2",
    ]


def test_a_file_of_hosts(tmp_path: Path) -> None:
    (tmp_path / "hosts.toml").write_text(
        '[hosts.a]\ndevices = ["cuda"]\nworkers = 2\nssh_config = "ssh"\n[hosts.b]\nssh = "me@c"\n'
    )
    a = Host("a", "a", devices=("cuda",), workers=2, ssh_config=str(tmp_path / "ssh"))
    assert read_hosts(tmp_path / "hosts.toml") == (a, Host("b", "me@c"))
    with pytest.raises(UsageError, match="no such file"):
        read_hosts(tmp_path / "none.toml")


def test_paths_are_those_of_the_host() -> None:
    given = ["/p/a.py::t", "-c", "/p/x.ini", "--x=/p", "/path", "-k", "a/p/b"]
    assert mapped(given, "/p", "/q") == [
        "/q/a.py::t", "-c", "/q/x.ini", "--x=/q", "/path", "-k", "a/p/b"
    ]  # fmt: skip


def test_sources_are_what_git_knows_or_what_is_there(tmp_path: Path) -> None:
    for name in ("a.py", "venv/pyvenv.cfg", "venv/b.py", ".hidden/c.py", "d.txt", "e/f.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    before = sources_in(tmp_path)
    assert list(before) == ["a.py", "e/f.jsonl"]
    (tmp_path / ".gitignore").write_text("e\nvenv\n.hidden\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert sources_in(tmp_path) == {"a.py": before["a.py"]}
    (tmp_path / "a.py").write_text("other")
    assert sources_in(tmp_path) != {"a.py": before["a.py"]}


def test_a_host_measures_in_processes_of_their_own_while_no_other_holds_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    config: Any = None
    monkeypatch.setattr(repeated, "settings_of", lambda _: None)
    monkeypatch.setattr(repeated, "prepare", lambda _, tests, *__, file: done.append(*tests))
    plans: list[list[tuple[int, list[str]]]] = [[], [(3, [])], [(3, ["test"])]]
    for plan in plans:
        monkeypatch.setattr(repeated, "_plan", lambda *_, plan=plan: plan)
        repeated.prepare_on_host(config, "test", lambda: done.append("let go"))
    assert done == ["let go", "test"]
