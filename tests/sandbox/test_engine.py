"""The engine: its version, its start and its end, and the interpreters of functions."""

import re
import signal
import socket
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from sandbox import interpreters, process
from sandbox.aws import Sandbox
from sandbox.engine import PINNED, check_version
from sandbox.process import SandboxError
from sandbox.project import ROOT
from tests.sandbox.scripted_stack import ScriptedStack


def test_the_pin_is_the_version_that_the_shim_knows() -> None:
    """After raising the pin, review `sandbox.engine` against the changes of ministack."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    group = project["dependency-groups"]["dev"]
    pinned = [line for line in group if str(line).startswith("ministack")]
    assert pinned == [f"ministack=={PINNED}"]
    assert metadata.version("ministack") == PINNED


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.engine.version", lambda _: "2.0.0")
    with pytest.raises(RuntimeError, match=rf"ministack is 2\.0\.0; allowed: {PINNED}"):
        check_version()


def test_it_listens_on_this_machine_only_and_nowhere_else(sandbox: Sandbox) -> None:
    assert re.fullmatch(r"https://127\.0\.0\.1:\d+", sandbox.endpoint)
    log = (sandbox.directory / "engine.log").read_text(encoding="utf-8")
    assert set(re.findall(r"Running on (\S+)", log)) == {sandbox.endpoint}


def test_tools_get_nothing_of_the_machine(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTPS_PROXY"} & set(sandbox.environment)
    assert sandbox.environment["HOME"] == str(sandbox.directory)
    assert sandbox.client("sts").get_caller_identity()["Account"] == "000000000000"


def test_stopping_ends_running_functions() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        port = listener.getsockname()[1]
        with Sandbox() as sandbox:
            stack = ScriptedStack(sandbox, "slow")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("sandbox.stacks.DEPLOY_SECONDS", 0.0)
                with pytest.raises(TimeoutError, match="CREATE_IN_PROGRESS"):
                    stack.deploy(Create={"hold": port}, function={"Timeout": 600})
            held, _ = listener.accept()
            directory = sandbox.directory
        with held:
            assert is_closed(held), "the function is gone"
    assert not directory.exists()


def is_closed(connection: socket.socket) -> bool:
    """Wait for the other end to close. It resets a connection that it has not accepted yet."""
    connection.settimeout(10)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_it_ends_with_its_parent_however_that_ends() -> None:
    script = (
        "import sys, time; from sandbox.aws import Sandbox\n"
        "with Sandbox() as sandbox:\n"
        "    print(sandbox.directory, sandbox.endpoint, flush=True); time.sleep(300)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        directory, endpoint = parent.stdout.readline().split()
        port = int(endpoint.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            parent.send_signal(signal.SIGKILL)
            assert is_closed(connection), "the engine is gone"
    assert not Path(directory).exists()


def test_an_engine_that_does_not_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "ROOT", tmp_path)
    with pytest.raises(SandboxError, match=r"No module named 'sandbox'"):
        Sandbox().__enter__()


def test_the_first_line_says_that_it_needs_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreters, "find_spec", lambda _: None)
    with pytest.raises(SandboxError) as caught:
        Sandbox().__enter__()
    first = str(caught.value).splitlines()[0]
    assert first.startswith("awslambdaric is not installed; it runs functions as Lambda does, and")
    assert "Linux only" in first


def test_an_interpreter_that_does_not_run_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "python3.14"
    with pytest.raises(SandboxError, match=f"{missing} does not run; give the path of a Python"):
        Sandbox(python=missing).__enter__()
    monkeypatch.setenv("PYTHONS", str(missing))
    with pytest.raises(SandboxError, match=f"{missing} does not run"):
        interpreters.found()


def test_interpreters_of_the_variable_take_precedence_over_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = ".".join(map(str, sys.version_info[:2]))
    shim = tmp_path / f"python{version}"
    shim.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert interpreters.found() == {version: Path(sys.executable)}, "the shim starts nothing"
    named = tmp_path / "mine"
    named.symlink_to(sys.executable)
    monkeypatch.setenv("PYTHONS", str(named))
    assert interpreters.found() == {version: named}
