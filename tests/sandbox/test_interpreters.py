"""Functions run on the interpreter that is asked for, or it is said why they cannot."""

import sys
from pathlib import Path

import pytest

from sandbox import interpreters
from sandbox.aws import Sandbox
from sandbox.process import SandboxError


def test_the_first_line_says_that_it_takes_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreters, "find_spec", lambda _: None)
    with pytest.raises(SandboxError) as caught:
        Sandbox().__enter__()
    first = str(caught.value).splitlines()[0]
    assert first.startswith("awslambdaric is not installed; it runs functions as Lambda does, and")
    assert "Linux only" in first


def test_an_interpreter_that_does_not_run_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "python3.14"
    with pytest.raises(SandboxError, match=f"{missing} does not run; give the path of a Python"):
        Sandbox(python=missing).__enter__()
    monkeypatch.setenv("PYTHONS", str(missing))
    with pytest.raises(SandboxError, match=f"{missing} does not run"):
        interpreters.found()


def test_interpreters_that_are_named_come_before_those_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = ".".join(map(str, sys.version_info[:2]))
    shim = tmp_path / f"python{version}"
    shim.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert interpreters.found() == {version: Path(sys.executable)}, "nothing is behind the shim"
    named = tmp_path / "mine"
    named.symlink_to(sys.executable)
    monkeypatch.setenv("PYTHONS", str(named))
    assert interpreters.found() == {version: named}
