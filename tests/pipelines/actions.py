"""Actions that a workflow uses, as far as the jobs of the example need them.

This is the one place where a `uses:` step is replaced. An action that is not here fails the test.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sandbox.aws import Sandbox
from tests.pipelines.repository import check_out


@dataclass
class Job:
    """What an action sees of the job that uses it."""

    sandbox: Sandbox
    origin: Path
    commit: str
    workspace: Path
    artifacts: Path
    permissions: Mapping[str, str]
    environment: dict[str, str]
    """Of the steps to come."""
    roles: list[str] = field(default_factory=list)
    """Roles that were taken, in order."""


def checkout(job: Job, inputs: Mapping[str, Any]) -> None:
    assert job.permissions["contents"] == "read"
    assert inputs["persist-credentials"] is False, "the token would stay in .git/config"
    check_out(job.origin, job.commit, job.workspace, int(inputs.get("fetch-depth", 1)))


def setup_python(job: Job, inputs: Mapping[str, Any]) -> None:
    """The Python of the tests is there already."""


def configure_aws_credentials(job: Job, inputs: Mapping[str, Any]) -> None:
    """The token of the job for a role of the sandbox, over its real STS API."""
    assert job.permissions["id-token"] == "write", "GitHub gives no token"
    assert "AWS_ACCESS_KEY_ID" not in job.environment or inputs["unset-current-credentials"]
    role = inputs["role-to-assume"]
    taken = job.sandbox.client("sts").assume_role_with_web_identity(
        RoleArn=role, RoleSessionName="GitHubActions", WebIdentityToken=json.dumps({"iss": "x"})
    )["Credentials"]
    job.roles.append(role)
    job.environment |= {
        "AWS_ACCESS_KEY_ID": taken["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": taken["SecretAccessKey"],
        "AWS_SESSION_TOKEN": taken["SessionToken"],
        "AWS_REGION": inputs["aws-region"],
        "AWS_DEFAULT_REGION": inputs["aws-region"],
    }


def upload_artifact(job: Job, inputs: Mapping[str, Any]) -> None:
    source = job.workspace / inputs["path"]
    if source.exists():  # if not, GitHub warns
        shutil.copytree(source, job.artifacts / inputs["name"])


def download_artifact(job: Job, inputs: Mapping[str, Any]) -> None:
    shutil.copytree(job.artifacts / inputs["name"], job.workspace / inputs["path"])


ACTIONS: Final[Mapping[str, Callable[[Job, Mapping[str, Any]], None]]] = {
    "actions/checkout": checkout,
    "actions/download-artifact": download_artifact,
    "actions/setup-python": setup_python,
    "actions/upload-artifact": upload_artifact,
    "aws-actions/configure-aws-credentials": configure_aws_credentials,
}
