"""Standard streams that are closed, full, or no longer read, Ctrl-C, and what nobody expects."""

import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock, patch

import pytest

from hyperpod_node_removal_cli import main as main_module
from hyperpod_node_removal_cli.main import main

VALID = "cluster: ml-cluster\nnode_ids: [i-0123456789abcdef0]\n"


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "removals.yaml"
    path.write_text(VALID, encoding="utf-8")
    return str(path)


def run_in_shell(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command line of the shell in which `"$@"` is the command with these arguments."""
    given = (sys.executable, "-m", "hyperpod_node_removal_cli", *arguments)
    return subprocess.run(
        ["sh", "-c", command, "sh", *given],
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("redirections", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("format_of_output", [(), ("--json",)])
def test_a_closed_stream_does_not_change_the_exit_code(
    file: str, redirections: str, format_of_output: tuple[str, ...]
) -> None:
    done = run_in_shell(f'"$@" {redirections}', "validate", file, *format_of_output)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_standard_input_is_an_empty_file() -> None:
    closed, empty = (run_in_shell(f'"$@" {how}', "validate", "-") for how in ("<&-", "</dev/null"))
    assert (closed.returncode, closed.stdout) == (empty.returncode, empty.stdout)
    assert closed.stderr == ""


def test_an_output_that_cannot_be_written_is_unknown(file: str) -> None:
    done = run_in_shell('"$@" >/dev/full', "validate", file)
    assert done.returncode == 2
    assert done.stderr == "hyperpod-node-removal: error: output: No space left on device\n"


def test_a_reader_that_stops_reading_is_no_error_of_its_own(tmp_path: Path) -> None:
    large = tmp_path / "removals.yaml"
    large.write_text("cluster: ml-cluster\n" + "node_ids: []\n" * 3000, encoding="utf-8")
    done = run_in_shell('{ "$@"; echo "exit code $?" >&2; } | true', "validate", str(large))
    assert done.stderr == "exit code 2\n"


def test_ctrl_c_ends_it_as_shells_expect() -> None:
    interrupted = Mock(buffer=Mock(read=Mock(side_effect=KeyboardInterrupt)))
    with patch.object(sys, "stdin", interrupted):
        assert main(["validate", "-"]) == 130


def test_a_defect_of_the_command_is_not_mistaken_for_a_problem_of_the_file(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with patch.object(main_module, "validate_file", side_effect=LookupError("a defect")):
        assert main(["validate", file]) == 2
    assert capsys.readouterr().err.endswith("LookupError: a defect\n")
