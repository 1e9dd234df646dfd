"""A command line as a user types into it, in a folder, against the sandbox."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from tests.aws_cli import run_aws
from tests.docs.code_blocks import commands

SHOWN_CLUSTER_ARN = "arn:aws:sagemaker:us-west-2:111122223333:cluster/a1b2c3d4e5f6"


@dataclass(frozen=True)
class Cli:
    """Runs the real AWS CLI in one folder."""

    BUCKET: ClassVar = "artifacts"

    sandbox: Sandbox
    folder: Path

    def aws(self, *args: str) -> str:
        """Return what a command prints that must succeed."""
        done = run_aws(self.sandbox, *args, folder=self.folder)
        assert done.code == 0, done.log
        return done.log

    def refused(self, *args: str) -> str:
        """Return what a command prints that must fail."""
        done = run_aws(self.sandbox, *args, folder=self.folder)
        assert done.code != 0, done.log
        return done.log

    def deploy(
        self,
        template: str | Path,
        stack_name: str,
        *,
        capabilities: tuple[str, ...] = (),
        **given: str,
    ) -> dict[str, str]:
        """Deploy a stack. Return its outputs."""
        self.aws(*self.deployment(template, stack_name, capabilities=capabilities, **given))
        return self.sandbox.outputs(stack_name)

    def deployment(
        self,
        template: str | Path,
        stack_name: str,
        *,
        capabilities: tuple[str, ...] = (),
        **given: str,
    ) -> list[str]:
        """Return the command line of a deployment."""
        command = ["cloudformation", "deploy", "--template-file", str(template)]
        command += ["--stack-name", stack_name]
        if capabilities:
            command += ["--capabilities", *capabilities]
        if given:
            parameters = [f"{key}={value}" for key, value in given.items()]
            command += ["--parameter-overrides", *parameters]
        return command

    def package(self, template: str | Path, output: str) -> str:
        """Upload what a template refers to. Return the path of one that can be deployed."""
        self.aws(
            *("cloudformation", "package", "--template-file", str(template)),
            *("--s3-bucket", self.BUCKET, "--output-template-file", output),
        )
        return output

    def reasons(self, stack_name: str) -> list[str]:
        """Return the reasons of failed resources, as `describe-stack-events` shows them."""
        text = self.aws("cloudformation", "describe-stack-events", "--stack-name", stack_name)
        events: list[dict[str, Any]] = json.loads(text)["StackEvents"]
        return [
            event["ResourceStatusReason"]
            for event in events
            if event["ResourceStatus"].endswith("_FAILED") and "ResourceStatusReason" in event
        ]


@dataclass(frozen=True)
class Console(Cli):
    """Runs the commands that a page shows."""

    cluster: Cluster
    """The cluster in place of the one on the page."""

    def run_page(self, page: Path, *, of: str = "") -> list[str]:
        """Run the commands of blocks in which a text occurs. Return what each of them prints."""
        nodes = self.cluster.node_ids("workers")
        real = {f"i-0123456789abcdef{number}": node for number, node in enumerate(nodes)}
        real[SHOWN_CLUSTER_ARN] = self.cluster.arn
        found = commands(page, of=of, real=real)
        assert {program for program, *_ in found} == {"aws"}
        return [self.aws(*words).strip() for _, *words in found]
