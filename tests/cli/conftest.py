"""What the tests of the command share: the command, and the stack of a removal."""

from pathlib import Path

import pytest

from sandbox.aws import Sandbox
from tests.cli.command import Command
from tests.contract.lifecycle import Removal, synthesized


@pytest.fixture
def command(sandbox: Sandbox, tmp_path: Path) -> Command:
    """The command in front of the sandbox."""
    return Command(tmp_path, sandbox.environment)


@pytest.fixture
def removal(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Removal:
    return Removal(sandbox, synthesized(tmp_path_factory))
