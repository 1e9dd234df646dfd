"""The real AWS CLI, in this process, where a command starts in a tenth of the time."""

import io
import os
import re
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from unittest.mock import patch

from awscli.clidriver import create_clidriver

from sandbox.aws import Sandbox
from sandbox.project import ROOT

_SAME_SECOND: Final = re.compile(
    r"AlreadyExistsException.*ChangeSet \[awscli-cloudformation-package-deploy-[0-9]+\]"
)
"""`deploy` names its change set by the second. On AWS, no stack is so fast that two collide."""


@dataclass(frozen=True)
class Done:
    """The exit code of a command, and all that it printed."""

    code: int
    log: str


def run_aws(sandbox: Sandbox, *arguments: str, folder: Path = ROOT) -> Done:
    """Run a command of the AWS CLI against the sandbox, in a folder."""
    # awscli sets it when it is imported
    environment = {**sandbox.environment, "AWS_DATA_PATH": os.environ["AWS_DATA_PATH"]}
    while True:
        log = io.StringIO()
        with (
            patch.dict(os.environ, environment, clear=True),
            chdir(folder),
            redirect_stdout(log),
            redirect_stderr(log),
        ):
            try:
                code = create_clidriver().main(list(arguments))
            except SystemExit as error:
                code = int(error.code or 0)
        if not _SAME_SECOND.search(log.getvalue()):
            return Done(code, log.getvalue())
