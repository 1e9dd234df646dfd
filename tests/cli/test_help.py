"""Help and completion, as a shell shows them."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from hyperpod_node_removal_cli.arguments import SHELLS, parser
from tests.cli.command import Command, CommandProcess

COMMANDS = ("validate", "plan", "explain", "watch", "completion")


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path, {"PATH": os.environ["PATH"], "COLUMNS": "80"})


def test_the_help_fits_a_terminal_and_lists_the_commands(tmp_path: Path) -> None:
    done = CommandProcess(tmp_path, {"PATH": os.environ["PATH"], "COLUMNS": "80"})("--help")
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= 80
    assert all(f"    {name}" in done.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_each_command_has_valid_examples(command: Command, name: str) -> None:
    done = command(name, "--help")
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= 80
    _, examples = done.out.split("examples:\n", 1)
    lines = examples.partition("\n\n")[0].splitlines()
    assert len(lines) >= 2
    for line in lines:
        words = shlex.split(re.split(r" [|>] ?", line.removeprefix("  source <(").rstrip(")"))[0])
        if words[0] != "hyperpod-node-removal":  # what it reads comes from another program
            words = shlex.split(line.partition(" | ")[2])
        assert words[:2] == ["hyperpod-node-removal", name]
        parser().parse_args(words[1:])


def completed(script: str, folder: Path, line: str) -> set[str]:
    """What bash offers for the last word of a line."""
    words = shlex.join(line.split(" "))
    asked = (
        f"{script}\n"
        f"COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)) COMP_LINE={line!r}\n"
        "COMP_POINT=${#COMP_LINE}\n"
        "function=$(complete -p hyperpod-node-removal | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n"
        '"$function" hyperpod-node-removal "${COMP_WORDS[COMP_CWORD]}" ""\n'
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", asked],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(filter(None, map(str.strip, done.stdout.splitlines())))


def test_bash_completes_commands_options_and_files(command: Command) -> None:
    script = command("completion", "bash").out
    (command.folder / "removals.yaml").touch()
    assert completed(script, command.folder, "hyperpod-node-removal ") >= set(COMMANDS)
    assert completed(script, command.folder, "hyperpod-node-removal ex") == {"explain"}
    options = completed(script, command.folder, "hyperpod-node-removal plan --")
    assert options >= {"--cluster", "--node-ids", "--markdown", "--profile"}
    assert completed(script, command.folder, "hyperpod-node-removal plan rem") == {"removals.yaml"}
    file = "hyperpod-node-removal explain --file rem"
    assert completed(script, command.folder, file) == {"removals.yaml"}


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_its_own_script(command: Command, shell: str) -> None:
    done = command("completion", shell)
    assert (done.code, done.err) == (0, "")
    assert all(name in done.out for name in COMMANDS)
