"""What the Makefile installs, and from where."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Mirrors differ by place and company: whoever installs says which one, or pip's configuration does.
HOSTS = re.compile(r"\b(download\.pytorch\.org|pypi\.org|files\.pythonhosted\.org)\b")


def dry_run(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "Makefile", directory)
    shutil.copy(ROOT / "pyproject.toml", directory)
    return subprocess.run(
        ["make", "--dry-run", *words], cwd=directory, capture_output=True, text=True, timeout=900
    )


def test_no_file_names_the_host_of_a_package_registry() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True, timeout=900
    ).stdout.split("\0")
    texts = {
        name: (ROOT / name).read_text(encoding="utf-8", errors="replace")
        for name in listed
        if Path(name).suffix in (".py", ".md", ".toml", ".yml", ".sh", "")
        and (ROOT / name).is_file()
    }
    assert "Makefile" in texts
    own = Path(__file__).relative_to(ROOT).as_posix()
    assert [name for name, text in texts.items() if name != own and HOSTS.search(text)] == []


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("end", ["", "/"])
def test_torch_comes_from_the_index_that_is_given(tmp_path: Path, end: str) -> None:
    url = f"https://registry.invalid/torch/cu126{end}"
    result = dry_run(tmp_path, "bench", f"TORCH_INDEX={url}")
    assert result.returncode == 0, result.stderr
    assert f"--index-url {url} torch torchvision" in result.stdout
    assert "touch .venv/.installed-cu126\n" in result.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_an_index_that_is_no_url_is_refused(tmp_path: Path) -> None:
    result = dry_run(tmp_path, "bench", "TORCH_INDEX=cu126")
    assert result.returncode == 2
    assert (
        "TORCH_INDEX=cu126 is no URL. Give the one that torch's installation page" in result.stderr
    )
