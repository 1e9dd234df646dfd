"""The AWS CLI in this process, where a command starts ten times faster."""

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
"""The change sets of two `deploy` commands in a second have the same name. AWS is never so fast."""


@dataclass(frozen=True)
class Done:
    """The exit code and the output of a command."""

    code: int
    log: str


def run_aws(sandbox: Sandbox, *arguments: str, folder: Path = ROOT) -> Done:
    """Run an AWS CLI command in a folder, with the sandbox as AWS."""
    # awscli sets AWS_DATA_PATH when it is imported
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
