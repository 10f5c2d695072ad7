"""Put the accepted counts of ``baselines/complexity.jsonl`` into the package, for reports.

python tools/packaged_counts.py
"""

from __future__ import annotations

import json
from pathlib import Path

from archbench.catalog.counts import COUNTED, FILE, SCHEMA
from archbench.core.lines import CountLine
from archbench.store.baselines import read_baselines

ROOT = Path(__file__).parents[1]


def document() -> str:
    """The content of the packaged file, one line for each architecture."""
    lines = read_baselines(ROOT / "baselines" / "complexity.jsonl", CountLine).lines
    rows = [
        f"{json.dumps(id)}:{json.dumps([getattr(lines[id], name) for name in COUNTED])}"
        for id in sorted(lines)
    ]
    return f'{{"schema":{SCHEMA},"counts":{{\n' + ",\n".join(rows) + "\n}}\n"


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8", newline="\n")
