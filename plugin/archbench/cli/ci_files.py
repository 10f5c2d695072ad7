"""What ``archbench init`` writes for the systems that run CI; README.md and docs/ci.md show it."""

from __future__ import annotations

CI_FILES = {"github": ".github/workflows/benchmarks.yml", "gitlab": ".gitlab-ci.yml"}
"""For each system the file, from the top of the repository."""

_GITHUB = """\
name: benchmarks
on: pull_request
permissions: {contents: read}
jobs:
  benchmarks:
    runs-on: ubuntu-latest
    timeout-minutes: 30
    steps:
      - uses: actions/checkout@v5
        with: {fetch-depth: 0, submodules: recursive}
      - uses: actions/setup-python@v6
        with: {python-version: "3.12", cache: pip, cache-dependency-path: .github/**/*.yml}
      - run: python -m pip install PACKAGES
      - run: >-
          python -m pytest --pyargs archbench.benchmarks --archbench-gpu=cpu --archbench-against
          --archbench-results=results.json --junitxml=junit.xml
      - if: ${{ always() }}
        uses: actions/upload-artifact@v5
        with: {name: benchmarks, path: "results.json\\njunit.xml"}
"""

_GITLAB = """\
benchmarks:
  image: python:3.12
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
  variables:
    GIT_DEPTH: "0"
    GIT_SUBMODULE_STRATEGY: recursive
    PIP_CACHE_DIR: $CI_PROJECT_DIR/.cache/pip
  cache:
    key: pip-3.12
    paths:
      - .cache/pip
  script:
    - python -m pip install PACKAGES
    - >-
      python -m pytest --pyargs archbench.benchmarks
      --archbench-gpu=cpu --archbench-against
      --archbench-results=results.json --junitxml=junit.xml
      --archbench-code-quality=code-quality.json
  artifacts:
    when: always
    paths:
      - results.json
    reports:
      junit: junit.xml
      codequality: code-quality.json
"""


def ci_text(system: str, packages: str = "pytest-archbench") -> str:
    """A workflow that counts a project's networks, and compares them with the target branch.

    Args:
        system: of :data:`CI_FILES`.
        packages: what pip installs.
    """
    return {"github": _GITHUB, "gitlab": _GITLAB}[system].replace("PACKAGES", packages)
