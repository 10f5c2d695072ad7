"""Makes docs/seed-suite.md and the picture of README again, from a run's output on stdin:

    make bench | tee /dev/stderr | python tools/seed_page.py

The table is what the run printed; the pictures are of the page that it drew, light and dark.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "seed-suite.md"
PICTURES = ROOT / "docs" / "pictures" / "seeds"
REPORT = ROOT / "report" / "index.html"
START, END = "<!-- table -->\n```text\n", "```\n<!-- /table -->"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def table_of(output: str) -> str:
    """The table of a run and the lines below it.

    Raises:
        SystemExit: there is none.
    """
    found = re.search(r"^-+ (archbench: .*?) -+\n(architecture .*?)^Stored in", output, re.M | re.S)
    if found is None:
        sys.exit(f"no table on stdin; run: {(__doc__ or '').splitlines()[2].strip()}")
    return "\n".join(line.rstrip() for line in [found[1], *found[2].rstrip().splitlines()])


def with_table(page: str, table: str) -> str:
    """The page with another table."""
    before, _, rest = page.partition(START)
    return f"{before}{START}{table}\n{END}{rest.partition(END)[2]}"


def draw(report: Path) -> None:
    """Write the chart of top-1 against images/s as the page shows it, light and dark."""
    from playwright.sync_api import sync_playwright

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page = chromium.new_page(
                viewport={"width": 1100, "height": 760},
                color_scheme=scheme,
                device_scale_factor=1.5,
            )
            page.goto(f"{report.as_uri()}#top1-rate")
            page.wait_for_selector("#plot .main-svg")
            page.locator("#picture").screenshot(path=PICTURES / f"top1-rate-{scheme}.png")
        chromium.close()


def main() -> None:
    PAGE.write_text(
        with_table(PAGE.read_text(encoding="utf-8"), table_of(sys.stdin.read())), encoding="utf-8"
    )
    draw(REPORT)


if __name__ == "__main__":
    main()
