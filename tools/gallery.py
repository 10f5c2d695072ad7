"""Make the pictures and tables of docs/gallery.md again: ``make gallery``.

Runs the page's commands that write below docs/pictures and its Python examples, at the repository's
root, and puts what the commands print, and the figures of docs/seed-suite.md, into its tables.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
from pathlib import Path

from archbench import cli

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "gallery.md"
_COMMAND = re.compile(r"^archbench (?P<words>.* -o docs/pictures/.*)$", re.MULTILINE)
_PYTHON = re.compile(r"^```python\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
_TABLE = re.compile(
    r"(?P<head><!-- table: (?P<words>[^\n]*) -->\n```text\n)(?P<text>.*?)(?P<tail>^```)",
    re.MULTILINE | re.DOTALL,
)
_PADDLECLAS = re.compile(
    r"(?P<head><!-- paddleclas -->\n)(?P<text>.*?)(?P<tail><!-- /paddleclas -->)", re.DOTALL
)
_ROW = re.compile(
    r"^(?P<name>\S+) +(?P<library>\S+) +[\d.]+\* +[\d.]+ +[\d.]+ +(?P<p50>~?[\d.]+) ", re.MULTILINE
)


def printed(words: str) -> str:
    """What a command prints, without spaces at the ends of lines."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        status = cli.main(shlex.split(words))
    assert status == 0, words
    return "".join(f"{line.rstrip()}\n" for line in output.getvalue().splitlines())


def measured_here() -> dict[str, str]:
    """Median latencies in ms as the page of the seed suite prints them, by id."""
    text = (ROOT / "docs" / "seed-suite.md").read_text(encoding="utf-8")
    return {f"{row['library']}/{row['name']}": row["p50"] for row in _ROW.finditer(text)}


def paddleclas_table() -> str:
    """The eight networks of PaddleClas' page with its times, and the times measured here."""
    from archbench.catalog.seeds import read_seeds
    from archbench.catalog.tables import published_table

    eight = [seed.id for seed in read_seeds() if "paddleclas" in seed.suites]
    accuracy = {point.id: point for point in published_table("paddleclas") if point.id in eight}
    times = {
        (point.id, point.device, point.dtype, point.batch_size): point.text("latency")
        for point in published_table("paddleclas_latency")
    }
    cells = [("v100", "fp32", 1), *(("t4", d, b) for d in ("fp16", "fp32") for b in (1, 4, 8))]
    heads = ["architecture", "top-1 %", "params M", "GMACs"]
    heads += [f"{device.upper()} {dtype} batch {batch}" for device, dtype, batch in cells]
    heads.append("CPU fp32 batch 1, measured here")
    here = measured_here()
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1)]
    for id, point in sorted(accuracy.items(), key=lambda entry: eight.index(entry[0])):
        figures = [f"{point.text(name)}*" for name in ("top1", "params", "macs")]
        keys = [(id, *cell) for cell in cells]
        published = [f"{times[key]}*" for key in keys]
        lines.append([point.name, *figures, *published, here[id]])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + (
        "\n\\* published by PaddleClas, not measured here.\n"
    )


def page_with_tables(page: str) -> str:
    """The page with its tables as they are printed now."""
    page = _TABLE.sub(lambda m: m["head"] + printed(m["words"]) + m["tail"], page)
    return _PADDLECLAS.sub(lambda m: m["head"] + paddleclas_table() + m["tail"], page)


def main() -> None:
    os.chdir(ROOT)
    page = PAGE.read_text(encoding="utf-8")
    for match in _COMMAND.finditer(page):
        print(printed(match["words"]), end="")
    for match in _PYTHON.finditer(page):
        exec(compile(match["code"], str(PAGE), "exec"), {})
    PAGE.write_text(page_with_tables(page), encoding="utf-8")


if __name__ == "__main__":
    main()
