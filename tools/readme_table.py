"""Puts the table at the end of a run's output into README.md: the run's output on stdin."""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
START, END = "<!-- table -->\n```text\n", "```\n<!-- /table -->"


def main() -> None:
    output = sys.stdin.read()
    found = re.search(r"^-+ (archbench: .*?) -+\n(architecture .*?)^Stored in", output, re.M | re.S)
    if found is None:
        sys.exit(
            "no table on stdin; run: make bench | tee /dev/stderr | python tools/readme_table.py"
        )
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    lines = [found[1], *found[2].rstrip().splitlines()]
    table = "\n".join(line.rstrip() for line in lines)
    README.write_text(f"{before}{START}{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
