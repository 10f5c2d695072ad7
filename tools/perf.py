"""The project's own figures of speed: ``make perf``. Nothing here is a test; it prints.

Each figure stands beside what it must reach. Run it on a machine without other work.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLUGIN = "archbench.pytest_plugin"

# pip compiles what it installs; a checkout is compiled when it is first imported, unless this
# variable forbids to keep the result. Each start would then pay for compiling.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


@dataclass
class Finished:
    """A child process that ended: wall and processor seconds, peak resident bytes, output."""

    wall: float
    cpu: float
    peak_bytes: int
    output: str
    status: int


def run(
    arguments: list[str], directory: Path, environment: dict[str, str] | None = None
) -> Finished:
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        start = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=directory,
            env=ENVIRONMENT if environment is None else environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        return Finished(
            wall,
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss * 1024,
            output.read(),
            child.returncode,
        )


def report(name: str, value: str, target: str, reached: bool) -> None:
    print(f"{'ok  ' if reached else 'MISS'}  {name:<52} {value:<24} {target}", flush=True)


def plugin_start(rounds: int = 25) -> None:
    """A pytest start of another project, with the plugin and without, in turn.

    Other plugins are left out: they are in both, and hypothesis alone adds a second of noise.
    """
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "test_one.py").write_text("def test_one(): pass\n", encoding="utf-8")
        (directory / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        environment = {**ENVIRONMENT, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        run(["-m", "pytest", "-q", "-p", PLUGIN], directory, environment)  # compiles, once
        differences, starts = [], []
        for _ in range(rounds):
            cpu = {}
            for with_plugin in random.sample([True, False], 2):
                plugins = [
                    "-p",
                    "pytest_benchmark.plugin",
                    *(["-p", PLUGIN] if with_plugin else []),
                ]
                done = run(["-m", "pytest", "-q", *plugins], directory, environment)
                assert done.status == 0, done.output
                cpu[with_plugin] = done.cpu
            differences.append(cpu[True] - cpu[False])
            starts.append(cpu[False])
        added = statistics.median(differences)
        report(
            "pytest start of another project, added CPU time",
            f"{added * 1e3:.0f} ms to {statistics.median(starts) * 1e3:.0f} ms",
            "at most 30 ms",
            added <= 0.030,
        )
        code = (
            "import sys, pytest\n"
            "pytest.main(['-q'])\n"
            "print('HEAVY', *({'torch', 'numpy'} & set(sys.modules)))"
        )
        done = run(["-c", code], directory)
        heavy = done.output.rpartition("HEAVY")[2].split()
        report("torch or numpy imported there", ", ".join(heavy) or "no", "no", not heavy)


PLAIN = """
import sys, time
import timm, torch

torch.set_num_threads(1)
model = timm.create_model(sys.argv[1]).eval()
images = torch.randn(1, 3, 224, 224)
seconds = []
with torch.inference_mode():
    for _ in range(10):
        model(images)
    for _ in range(40):
        start = time.perf_counter()
        model(images)
        seconds.append(time.perf_counter() - start)
print(sorted(seconds)[len(seconds) // 2])
"""
"""What everybody writes to time a network of timm, with as many passes as timm's ``benchmark.py``
makes if nothing else is asked for."""


def whole_runs(rounds: int = 5) -> None:
    """``pytest benchmarks --quick`` of one network against a plain script, in turn, each in whole
    processes.

    Processor time of all processes: other work on the machine moves it less than wall time.
    """
    environment = {**ENVIRONMENT, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for name, most in (("mobilenetv3_small_100", 1.0), ("resnet18", 0.95), ("vgg16", 0.30)):
        ours = [
            *("-m", "pytest", "benchmarks", "--quick", f"--models=timm/{name}"),
            *("-p", "pytest_benchmark.plugin"),
        ]
        commands = {"ours": ours, "plain": ["-c", PLAIN, name]}
        cpu: dict[str, list[float]] = {which: [] for which in commands}
        for _ in range(rounds):
            for which in random.sample(list(commands), 2):
                done = run(commands[which], ROOT, environment)
                assert done.status == 0, done.output
                cpu[which].append(done.cpu)
        ratio = statistics.median(a / b for a, b in zip(cpu["ours"], cpu["plain"], strict=True))
        report(
            f"--quick of timm/{name} against a plain script",
            f"{statistics.median(cpu['ours']):.1f} to {statistics.median(cpu['plain']):.1f} s, "
            f"{ratio:.2f} times",
            f"below {most:.2f}",
            ratio < most,
        )


def collection(rounds: int = 3) -> None:
    """Collecting the whole catalogue."""
    runs = [
        run(["-m", "pytest", "benchmarks", "--suite=all", "--collect-only", "-q"], ROOT)
        for _ in range(rounds)
    ]
    assert all(done.status == 0 for done in runs), runs[0].output[-2000:]
    count = runs[0].output.strip().splitlines()[-1]
    wall = statistics.median(done.wall for done in runs)
    peak = max(done.peak_bytes for done in runs)
    report(
        f"--suite=all --collect-only -q ({count})", f"{wall:.2f} s", "at most 2.5 s", wall <= 2.5
    )
    report("  its peak memory", f"{peak / 1e6:.0f} MB", "at most 120 MB", peak <= 120e6)


def sampling_overhead() -> None:
    """What a sample costs beside the forward pass that it times."""
    from archbench.measure.latency import SamplingPlan, sample_latency

    calls = 0

    def forward() -> None:
        nonlocal calls
        calls += 1

    start = time.perf_counter()
    # No series of such short passes is precise to 0 %: the budget ends it.
    sample_latency(forward, SamplingPlan(time_budget=2.0, precision=-1.0))
    overhead = (time.perf_counter() - start) / calls
    report(
        "sampling, per forward pass",
        f"{overhead * 1e6:.1f} us",
        "at most 20 us",
        overhead <= 20e-6,
    )


def filling() -> None:
    """Filling VGG-19 against its own forward pass, both on one thread's worth of torch."""
    import torch

    from archbench import Target
    from archbench.catalog import load_catalog
    from archbench.models.loading import load

    torch.set_num_threads(1)
    target = Target("cpu", "any", "cpu")
    load(load_catalog().get("torchvision/alexnet"), target)  # imports
    loaded = load(load_catalog().get("torchvision/vgg19"), target)
    images = loaded.images()
    with torch.inference_mode():
        loaded(images)
        start = time.perf_counter()
        loaded(images)
        forward = time.perf_counter() - start
    report(
        "building and filling VGG-19",
        f"{loaded.load_seconds:.2f} s",
        "at most 1.5 s",
        loaded.load_seconds <= 1.5,
    )
    report(
        "  against its own forward pass",
        f"{loaded.load_seconds / forward:.2f} times",
        "(no limit)",
        True,
    )


def seed_run() -> None:
    """The default run: every seed architecture on this machine."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "results.json"
        done = run(["-m", "pytest", "benchmarks", f"--results={path}"], ROOT)
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    print(done.output)
    forward = sum(cell["seconds"].get("forward", 0.0) for cell in cells)
    timed = sum("latency" in cell["metrics"] for cell in cells)
    share = forward / done.wall
    report(f"seed run, {timed} rows", f"{done.wall:.0f} s", "at most 360 s", done.wall <= 360)
    report(
        "  its peak memory", f"{done.peak_bytes / 1e9:.2f} GB", "at most 3 GB",
        done.peak_bytes <= 3e9,
    )  # fmt: skip
    report("  wall time inside forward passes", f"{share:.0%}", "at least 60 %", share >= 0.6)


def counting() -> None:
    """Counting the whole catalogue with two workers, and one huge network by itself."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "results.json"
        command = ["benchmarks/test_complexity.py", "--suite=all", "-n", "2", f"--results={path}"]
        done = run(["-m", "pytest", *command], ROOT)
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    print(*done.output.strip().splitlines()[-20:], sep="\n")
    counted = [cell for cell in cells if "macs" in cell["metrics"]]
    median = statistics.median(cell["seconds"]["count"] for cell in counted)
    share = len(counted) / len(cells)
    report(
        f"counting {len(cells):,} architectures, -n 2",
        f"{done.wall:.0f} s",
        "at most 360 s",
        done.wall <= 360,
    )
    report(
        "  peak memory of a process", f"{done.peak_bytes / 1e9:.2f} GB", "at most 2 GB",
        done.peak_bytes <= 2e9,
    )  # fmt: skip
    report("  median of an architecture", f"{median:.3f} s", "at most 0.25 s", median <= 0.25)
    report("  counted", f"{share:.2%}", "at least 99.5 %", share >= 0.995)
    huge_model()


def two_workers() -> None:
    """The whole catalogue, counted by two workers and by one process. A sample tells too little:
    what a library imports for its first networks is paid for by each process."""
    found = {}
    for workers in ("2", "0"):
        command = ["benchmarks/test_complexity.py", "-n", workers, "--suite=all", "-q"]
        found[workers] = run(["-m", "pytest", *command], ROOT)
        assert found[workers].status in (0, 1), found[workers].output
    ratio = found["0"].wall / found["2"].wall
    report(
        "-n 2 counts the whole catalogue",
        f"{ratio:.2f} times as fast, {found['0'].wall:.0f} to {found['2'].wall:.0f} s",
        "at least 1.7",
        ratio >= 1.7,
    )


def huge_model(id: str = "timm/eva02_enormous_patch14_clip_224") -> None:
    from archbench.catalog import load_catalog
    from archbench.measure.complexity import count

    catalog = load_catalog()
    count(catalog.get("timm/vit_tiny_patch16_224"))  # imports
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    complexity = count(catalog.get(id))
    seconds = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    weights = complexity.param_bytes["fp32"]
    report(
        f"counting {id}, {complexity.params / 1e9:.1f} G params",
        f"{seconds:.2f} s",
        "at most 2 s",
        seconds <= 2,
    )
    report(
        f"  memory taken, weights being {weights / 1e9:.1f} GB",
        f"{grown / 1e9:.2f} GB",
        "at most 0.1 GB",
        grown <= 1e8,
    )


def gate(number: int = 2_000) -> None:
    """Writing baselines of times, and comparing as many cells with them."""
    from archbench.core.gate import scale_of, time_verdict
    from archbench.core.lines import TimeLine, line_of
    from archbench.core.process_runs import ProcessRun
    from archbench.core.tolerances import Rules
    from archbench.store.baselines import read_baselines, update_baselines

    chance = random.Random(0)

    def process_runs(count: int) -> list[ProcessRun]:
        made = []
        for _ in range(count):
            series = [0.01 * chance.lognormvariate(0, 0.02) for _ in range(40)]
            made.append(
                ProcessRun.of(series, series, 0.0, [0.0006 * chance.lognormvariate(0, 0.02)])
            )
        return made

    environment = {"device_name": "any", "clock": "cpu", "reference_workload": "any"}
    lines = []
    for index in range(number):
        line = {
            "id": f"timm/network{index}",
            "cell": "fp32-b1",
            "process_runs": [one.as_dict() for one in process_runs(10)],
            "counts": {"params": 1, "macs": 1},
            "memory_and_energy": {},
            "environment": environment,
            "when": "2026-11-20T18:40:12+00:00",
            "commit": None,
            "reason": None,
        }
        lines.append(line_of(TimeLine, line))
    now = {line.key: process_runs(3) for line in lines}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "any" / "fp32.jsonl"
        start = time.perf_counter()
        update_baselines(path, TimeLine, lines, Path(name) / "lock", only_new=False)
        written = time.perf_counter()
        stored = read_baselines(path, TimeLine).lines
        read = time.perf_counter()
        rules = Rules()
        verdicts = [
            time_verdict(
                stored[key].runs,
                now[key],
                [],
                rules.time_rule(stored[key].id, "any", "fp32", scale_of(environment)),
            )
            for key in stored
        ]
        compared = time.perf_counter()
    assert len(verdicts) == number
    report(
        f"writing, reading and comparing {number:,} cells",
        f"{written - start:.2f} + {read - written:.2f} + {compared - read:.2f} s",
        "at most 1 s",
        compared - start <= 1,
    )


def stored_run(directory: Path, architectures: int, batch_sizes: tuple[int, ...]) -> None:
    """A journal as a run of so many cells leaves it, with 60 samples each."""
    from archbench.catalog import load_catalog
    from archbench.catalog.counts import counted_figures
    from archbench.core.entries import MetricEntry
    from archbench.core.records import Record
    from archbench.core.spec import Target

    path = directory / ".archbench" / "runs" / "20261120T000000Z-1" / "journal.jsonl"
    path.parent.mkdir(parents=True)
    generator = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        header = {"schema": 1, "kind": "run", "run": path.parent.name}
        file.write(json.dumps(header) + "\n")
        for spec in load_catalog().select(models="*")[:architectures]:
            counted = counted_figures(spec.id)
            counts: dict[str, MetricEntry] = {
                name: {"value": figure.value, "unit": "1", "source": "counted"}
                for name, figure in counted.items()
            }
            # Census of layers, times of process runs and the like: what a real line holds besides.
            counts["layers"] = {"value": [["Conv2d", 9408, 118013952, 1]] * 40, "source": "counted"}
            for batch_size in batch_sizes:
                target = Target("cpu", "CPU", "cpu-x", batch_size=batch_size)
                seconds = counted["macs"].value * 1e-11 * batch_size
                samples = [seconds * generator.uniform(1, 1.02) for _ in range(60)]
                latency: MetricEntry = {"unit": "s", "source": "measured", "samples": samples}
                series = {"latency": latency, "cpu_time": latency}
                cell = Record(spec.id, target, {**counts, **series})
                file.write(json.dumps({"kind": "cell", **cell.as_dict()}) + "\n")


def selecting(rounds: int = 7) -> None:
    """``archbench select`` from its start to its end: on a published table and on stored runs."""
    published = ["published:bianco2018", "--table"]
    limits = ["--max-latency=100ms", "--max-params=30M"]
    for name, cells, arguments, most in (
        ("archbench select, table of Bianco et al.", (0, ()), published, 0.5),
        ("archbench select, a run of 71 cells", (71, (1,)), limits, 0.5),
        # 27 MB of JSON, which alone take 0.3 s to read.
        ("archbench select, a run of 6,000 cells", (1500, (1, 4, 8, 16)), limits, 1.0),
    ):
        with tempfile.TemporaryDirectory() as directory:
            if cells[0]:
                stored_run(Path(directory), *cells)
            runs = [
                run(["-m", "archbench", "select", *arguments], Path(directory))
                for _ in range(rounds)
            ]
        assert all(done.status == 0 for done in runs), runs[-1].output
        wall = statistics.median(done.wall for done in runs)
        report(name, f"{wall:.2f} s", f"at most {most} s", wall <= most)
    code = (
        "import sys; from archbench import cli; cli.main(['select', 'published:bianco2018']); "
        "print('HEAVY', *({'torch', 'numpy'} & set(sys.modules)))"
    )
    done = run(["-c", code], ROOT)
    heavy = done.output.rpartition("HEAVY")[2].split()
    report("torch or numpy imported there", ", ".join(heavy) or "no", "no", not heavy)


def year_of_runs(store: str, devices: int, runs: int, architectures: int) -> int:
    """A shared store of so many runs, as ``archbench push`` makes it; returns how many figures its
    summaries hold. The journals, which neither history nor reports read, are empty."""
    from archbench.catalog import load_catalog
    from archbench.catalog.counts import counted_figures
    from archbench.core.entries import MetricEntry
    from archbench.core.headers import RunHeader
    from archbench.core.records import Record
    from archbench.core.spec import Target
    from archbench.store.journal import Run
    from archbench.store.objects import Objects
    from archbench.store.sharing import SharedRun, digest_of, environment_of
    from archbench.store.summaries import read_summary, summary_of

    objects, generator, figures = Objects.open(store), random.Random(0), 0
    objects.require(make=True)
    cells = [
        (spec.id, counted) for spec in load_catalog().select(models="*")
        if len(counted := counted_figures(spec.id)) > 1
    ][:architectures]  # fmt: skip
    for device in range(devices):
        for number in range(runs):
            day = date(2025, 1, 1) + timedelta(days=number * 365 // runs)
            run = f"{day:%Y%m%d}T{device:02d}0000Z-{4711 + number}"
            packages = {"torch": f"2.{number // 100}.0", "timm": f"1.0.{number // 60}"}
            header: RunHeader = {"run": run, "environment": {
                "time": f"{day}T{device:02d}:00:00+00:00", "cpu": f"CPU {device}",
                "python": "3.12.1", "packages": packages,
                "git": {"commit": digest_of(f"{device} {number}".encode())[:40], "dirty": False},
            }}  # fmt: skip
            target, slower = Target("cpu", f"CPU {device}", f"cpu-{device}"), 1.1 ** (number > 200)
            records = []
            for id, counted in cells:
                seconds = counted["macs"].value * 1e-11 * generator.lognormvariate(0, 0.02) * slower
                metrics: dict[str, MetricEntry] = {
                    name: {"value": figure.value, "unit": "1", "source": "counted"}
                    for name, figure in counted.items()
                }
                for name in ("latency", "cpu_time"):
                    samples = [seconds * generator.uniform(1, 1.02) for _ in range(60)]
                    metrics[name] = {"unit": "s", "source": "measured", "samples": samples}
                records.append(Record(id, target, metrics))
            summary = summary_of(Run(Path(run) / "journal.jsonl", header, records, finished=True))
            one = SharedRun(run, environment_of(header), digest_of(run.encode()))
            objects.write(one.name, b"")
            name = f"summaries/1/{one.key}.{one.digest}.{digest_of(summary)}.json"
            objects.write(name, summary)
            found = read_summary(summary)
            figures += len(found.cells) * len(found.names)
    return figures


def shared_store(devices: int = 10, runs: int = 300, architectures: int = 71) -> None:
    """``archbench history`` and ``report`` of a shared store with a year of ten machines, from
    their start to their end: where nothing was read before, and where all was."""
    with tempfile.TemporaryDirectory() as name:
        store, project = f"file://{name}/store", Path(name) / "project"
        project.mkdir()
        figures = year_of_runs(store, devices, runs, architectures)
        size = sum(path.stat().st_size for path in (Path(name) / "store").rglob("*.json"))
        print(
            f"      {devices} devices x {runs} runs x {architectures} cells = "
            f"{devices * runs * architectures:,} records, {figures:,} figures, summaries of "
            f"{size / 1e6:.0f} MB; load {os.getloadavg()[0]:.1f}"
        )
        for what, words in (
            ("archbench history, nothing read before", ["history"]),
            ("archbench history", ["history"]),
            ("archbench report", ["report"]),
        ):
            done = run(["-m", "archbench", *words, f"--store={store}"], project)
            assert done.status == 0, done.output[-2000:]
            report(
                what,
                f"{done.wall:.1f} s ({done.cpu:.1f} CPU), {done.peak_bytes / 1e6:.0f} MB",
                "below 5 s and 1 GB",
                done.wall < 5 and done.peak_bytes < 1e9,
            )


def page(rounds: int = 5) -> None:
    """The report's page over 1,500 architectures on 4 cells each: writing, size, opening.

    A page is drawn when its chart is in the document and the browser has painted twice.
    """
    sys.path.insert(0, str(ROOT))
    from archbench.report.page import write_page
    from tests.report.synthetic_rows import synthetic_rows

    points = synthetic_rows(copies=25)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "page.html"
        start = time.perf_counter()
        write_page(points, path, title="Speed")
        seconds = time.perf_counter() - start
        size = path.stat().st_size
        what = f"{len({point.id for point in points}):,} architectures, {len(points):,} cells"
        report(f"page, {what}: writing", f"{seconds:.2f} s", "at most 5 s", seconds <= 5)
        report("  its size", f"{size / 1e6:.1f} MB", "below 5 MB", size < 5e6)
        opened = page_opening(path, rounds)
    if not opened:
        report("  opening and drawing", "no browser here", "below 2 s", False)
        return
    first = statistics.median(opened.pop("top1"))
    report("  opening and drawing its first chart", f"{first:.2f} s", "below 2 s", first < 2)
    chart, times = max(opened.items(), key=lambda item: statistics.median(item[1]))
    slowest = statistics.median(times)
    report(f"  the same, slowest: {chart}", f"{slowest:.2f} s", "below 2 s", slowest < 2)


def page_opening(path: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds until each chart is drawn, in a browser of its own on two cores; none without one."""
    browsers = ("chromium", "chromium-browser", "google-chrome")
    browser_path = next((found for name in browsers if (found := shutil.which(name))), None)
    if browser_path is None:
        return {}
    from playwright.sync_api import sync_playwright

    charts = ("top1", "ball-macs", "density-top1", "operations-time", "top1-rate", "params-memory",
              "batch-size", "energy")  # fmt: skip
    seconds: dict[str, list[float]] = {chart: [] for chart in charts}
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(cores)[:2]))
    try:
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = playwright.chromium.launch(executable_path=browser_path, args=arguments)
            for chart in charts * rounds:
                context = browser.new_context(viewport={"width": 1600, "height": 1000})
                opened = context.new_page()
                start = time.perf_counter()
                opened.goto(f"{path.as_uri()}#{chart}")
                opened.wait_for_selector(f"#plot[data-drawn='{chart}']")
                opened.evaluate(
                    "() => new Promise(done => requestAnimationFrame(() => "
                    "requestAnimationFrame(done)))"
                )
                seconds[chart].append(time.perf_counter() - start)
                context.close()
            browser.close()
    finally:
        os.sched_setaffinity(0, cores)
    return seconds


def accuracy(number: int = 480, rounds: int = 5) -> None:
    """Evaluating against the network alone, and against the loop that everybody writes."""
    import torch
    from torch import nn
    from torchvision import models
    from torchvision.datasets import ImageFolder

    from archbench import Target
    from archbench.catalog import load_catalog
    from archbench.measure.accuracy import Workers, evaluate
    from archbench.measure.fingerprints import synthetic_picture
    from archbench.models.datasets import imagenet_synsets, open_images
    from archbench.models.preprocessing import normalized
    from archbench.models.weights import load_weighted

    torch.set_num_threads(1)
    model = load_weighted(
        load_catalog().get("torchvision/resnet18"), Target("cpu", "any", "cpu"), "none"
    )
    workers, batch = Workers(loading=1, threads=1), 32
    with tempfile.TemporaryDirectory() as name:
        for index in range(number):
            width, height = ((500, 375), (375, 500), (500, 333))[index % 3]
            directory = Path(name) / imagenet_synsets()[index % 10]
            directory.mkdir(exist_ok=True)
            picture = synthetic_picture(width, height, index)
            picture.save(directory / f"{index:08d}.JPEG", quality=60)
        size = sum(path.stat().st_size for path in Path(name).rglob("*.JPEG")) / number
        print(f"      {number} JPEG files of {size / 1e3:.0f} kB and 500 x 375 pixels")
        images = open_images(Path(name))

        # The network, fed from memory.
        few = number // 5 // batch * batch
        part = replace(images, images=images.images[:few])
        pixels = torch.randint(0, 256, (batch, 3, 224, 224), dtype=torch.uint8)
        alone, whole = [], []
        evaluate(model, part, workers=workers, batch_size=batch)
        with torch.inference_mode():
            for _ in range(rounds):
                start = time.perf_counter()
                for _ in range(few // batch):
                    model.scores(normalized(pixels, model.transform, torch.float32))
                alone.append(few / (time.perf_counter() - start))
                found = evaluate(model, part, workers=workers, batch_size=batch)
                whole.append(found.images_per_second)
        share = statistics.median(a / b for a, b in zip(whole, alone, strict=True))
        report(
            "evaluating ResNet-18 against the network alone",
            f"{statistics.median(whole):.1f} of {statistics.median(alone):.1f} images/s",
            "at least 90 %",
            share >= 0.9,
        )

        # A network that costs nothing: what is left is the loader.
        model.loaded.module = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1000)
        )
        model.module.eval().requires_grad_(False)
        theirs = models.ResNet18_Weights.IMAGENET1K_V1.transforms()
        ours, plain = [], []
        for _ in range(rounds):
            for which in random.sample(["ours", "plain"], 2):
                if which == "ours":
                    found = evaluate(model, images, workers=workers, batch_size=batch)
                    ours.append(found.images_per_second)
                    continue
                loader = torch.utils.data.DataLoader(
                    ImageFolder(name, theirs), batch_size=batch, num_workers=1
                )
                right = 0
                start = time.perf_counter()
                with torch.inference_mode():
                    for inputs, labels in loader:
                        right += int((model.module(inputs).argmax(1) == labels).sum())
                plain.append(number / (time.perf_counter() - start))
        share = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
        report(
            "loading, images/s for a worker, against a plain loop",
            f"{statistics.median(ours):.0f} to {statistics.median(plain):.0f}, {share:.2f} times",
            "at least 1",
            share >= 1,
        )


def engines(rounds: int = 10, id: str = "torchvision/resnet18") -> None:
    """Our medians beside those of a plain loop and of the engine's own tool on the same file, with
    one thread, in alternating runs; and what a cell costs beside its time budget."""
    import torch

    from archbench.catalog import load_catalog
    from archbench.core.run_config import RunConfig
    from archbench.measure.cells import further_metrics, latency_record, load_guarded
    from archbench.measure.hardware import make_target
    from archbench.measure.latency import SamplingPlan
    from archbench.models.loading import ModelHolder

    torch.set_num_threads(1)
    spec, plan = load_catalog().get(id), SamplingPlan(time_budget=1.5)
    with tempfile.TemporaryDirectory() as name:
        for engine, theirs in (("onnxruntime", plain_onnxruntime), ("openvino", benchmark_app)):
            target = make_target("cpu", config=RunConfig(runtime=engine))
            latency_record(load_guarded(ModelHolder(artefacts=Path(name)), spec, target), plan)
            costs = []
            for _ in range(5):
                start = processor_seconds()
                model = load_guarded(ModelHolder(artefacts=Path(name)), spec, target)
                record = latency_record(model, plan)
                further_metrics(model)
                used = processor_seconds() - start
                costs.append(used - sum(record.metrics["cpu_time"]["samples"]))
            cost = statistics.median(costs)
            report(
                f"{engine}, a cell of {id} on a warm cache beside its samples",
                f"{cost:.2f} s of a processor",
                "at most 1 s",
                cost <= 1,
            )
            (graph,) = Path(name).glob("*/network.onnx")
            ratios = []
            for _ in range(rounds):
                samples = latency_record(model, plan).metrics["latency"]["samples"]
                ratios.append(statistics.median(samples) / theirs(graph, plan.time_budget))
            ratio = statistics.median(ratios)
            report(
                f"{engine}, median beside {theirs.__name__.replace('_', ' ')}",
                f"{ratio:.3f} times, load {os.getloadavg()[0]:.1f}",
                "within 3 %",
                abs(ratio - 1) <= 0.03,
            )


def processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + used.ru_utime + used.ru_stime


def plain_onnxruntime(graph: Path, seconds: float) -> float:
    """Median seconds of a loop around a session with bound inputs and outputs."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(graph), options, ["CPUExecutionProvider"])
    binding = session.io_binding()
    (given,) = session.get_inputs()
    images = np.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=np.float32)
    binding.bind_ortvalue_input(given.name, onnxruntime.OrtValue.ortvalue_from_numpy(images))
    binding.bind_output(session.get_outputs()[0].name, "cpu")
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        session.run_with_iobinding(binding)
        times.append(time.perf_counter() - start)
    return statistics.median(times[3:])


def benchmark_app(graph: Path, seconds: float) -> float:
    """Median seconds that OpenVINO's own tool tells."""
    command = [
        *(str(Path(sys.executable).with_name("benchmark_app")), "-m", str(graph), "-d", "CPU"),
        *("-api", "sync", "-nthreads", "1", "-infer_precision", "f32", "-pin", "NO"),
        # Images in whole numbers, its default, would have to be converted in each pass.
        *("-ip", "f32", "-shape", "[1,3,224,224]"),
        *("-hint", "none", "-t", str(max(1, round(seconds)))),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = [line for line in done.stdout.splitlines() if "Median:" in line]
    return float(line.split()[-2]) / 1e3


FIGURES = {
    "start": plugin_start,
    "whole": whole_runs,
    "collect": collection,
    "sampling": sampling_overhead,
    "filling": filling,
    "counting": counting,
    "gate": gate,
    "select": selecting,
    "page": page,
    "store": shared_store,
    "accuracy": accuracy,
    "engines": engines,
    "seeds": seed_run,
    "workers": two_workers,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", nargs="*", help=f"{', '.join(FIGURES)}; default all")
    names = parser.parse_args().figures or list(FIGURES)
    unknown = set(names) - set(FIGURES)
    if unknown:
        parser.error(
            f"no figure named {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}"
        )
    for name in names:
        FIGURES[name]()


if __name__ == "__main__":
    main()
