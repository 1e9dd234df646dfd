"""The demo shows what happens, and fails if a claim is not true."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text

from sandbox.demo.__main__ import DemoError, run
from sandbox.demo.screen import STACK, Screen
from sandbox.project import PATH, ROOT
from sandbox.stacks import StackEvent
from tests.docs.code_blocks import code_blocks

pytestmark = pytest.mark.slow


def test_the_demo_in_100_columns() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sandbox.demo"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert max(len(line) for line in done.stdout.splitlines()) <= 100

    story = " ".join(done.stdout.split())
    expected = [
        "CREATE_FAILED Removal1BFB0048 Custom::HyperPodNodeRemoval Received response status",
        "2 of 5 nodes not removed from ml-cluster (3 removed).",
        "ROLLBACK_COMPLETE hyperpod-node-removal-ml-cluster AWS::CloudFormation::Stack",
        "prints the end of the function's log: INFO",
        "✔ the stack was rolled back",
        "Outcome COMPLETE",
        "✔ exactly the five nodes are gone",
        "✔ no other node was ever requested",
        "$ hyperpod-node-removal plan --cluster ml-cluster --node-ids i-",
        "1 node of ml-cluster would be removed, 1 refused.",
        "$ hyperpod-node-removal explain hyperpod-node-removal-ml-cluster",
        "hyperpod-node-removal-ml-cluster: 1 of 2 nodes not removed from ml-cluster (1 removed).",
        "✔ the removal of the controller was never requested",
    ]
    places = [story.find(text) for text in expected]
    assert -1 not in places, dict(zip(expected, places, strict=True))
    assert places == sorted(places)

    blocks = (block.text for block in code_blocks(ROOT / "README.md", "text"))
    (shown,) = (text for text in blocks if text.startswith("Deploy the removal"))
    lines = shown.splitlines()  # headings, checks, and, indented, commands and events
    claims = [line.strip() for line in lines if line.startswith("  ✔ ") or line[0] != " "]
    assert len(claims) > 5
    assert [line for line in claims if line not in story] == []


def test_an_event_is_shown_whole_in_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    name = "hyperpod-node-removal-ml-cluster"
    time = datetime(2026, 11, 23, 22, 41, 7, tzinfo=UTC)
    Screen().event(StackEvent("", time, name, "", STACK, "ROLLBACK_IN_PROGRESS", "", "", None))
    shown = Text.from_ansi(capsys.readouterr().out).plain
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert shown.split() == ["22:41:07", "ROLLBACK_IN_PROGRESS", name, STACK]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with nothing installed."""
    for name in ("Makefile", "package-lock.json", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *words],
        cwd=checkout,
        env={"PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_prints_what_the_first_minutes_are_for(checkout: Path) -> None:
    steps = make(checkout, "-n", "demo").stdout
    expected = [
        "It takes a few minutes",
        "Python packages",
        "pip install",
        "npm packages",
        "npm ci",
    ]
    places = [steps.find(text) for text in expected]
    assert -1 not in places
    assert places == sorted(places)


def test_make_names_the_python_that_is_missing(checkout: Path) -> None:
    done = make(checkout, "demo", "PYTHON=python3.99")
    assert done.returncode != 0
    assert "There is no python3.99 on the PATH" in done.stderr
    assert "make demo PYTHON=python3.13" in done.stderr
    assert not (checkout / ".venv").exists()


def test_the_demo_fails_if_something_is_different(monkeypatch: pytest.MonkeyPatch) -> None:
    def does_nothing(*args: str, **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(args, 0, "")

    monkeypatch.setattr("sandbox.aws.run_cdk", does_nothing)
    with pytest.raises(DemoError, match="the account is bootstrapped"):
        run(Screen())
