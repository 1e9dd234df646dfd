"""The real AWS CLI as a user types it, in a folder, against the sandbox."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sandbox.aws import Sandbox


@dataclass(frozen=True)
class Cli:
    """Runs commands in one folder."""

    BUCKET: ClassVar = "artifacts"

    sandbox: Sandbox
    folder: Path

    def aws(self, *args: str) -> str:
        """What a command that succeeds prints."""
        done = self.sandbox.aws(*args, cwd=self.folder)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def refused(self, *args: str) -> str:
        """What a command that fails prints."""
        done = self.sandbox.aws(*args, cwd=self.folder)
        assert done.returncode != 0, done.stdout
        return done.stdout

    def deploy(
        self,
        template: str | Path,
        stack_name: str,
        *,
        capabilities: tuple[str, ...] = (),
        **given: str,
    ) -> dict[str, str]:
        """`aws cloudformation deploy`; the stack's outputs."""
        self.aws(*self.deployment(template, stack_name, capabilities=capabilities, **given))
        return self.outputs(stack_name)

    def deployment(
        self,
        template: str | Path,
        stack_name: str,
        *,
        capabilities: tuple[str, ...] = (),
        **given: str,
    ) -> list[str]:
        """The command line of a deployment."""
        command = ["cloudformation", "deploy", "--template-file", str(template)]
        command += ["--stack-name", stack_name]
        if capabilities:
            command += ["--capabilities", *capabilities]
        if given:
            command += [
                "--parameter-overrides",
                *(f"{key}={value}" for key, value in given.items()),
            ]
        return command

    def package(self, template: str | Path, output: str) -> str:
        """`aws cloudformation package`; the path of the template that can be deployed."""
        self.aws(
            *("cloudformation", "package", "--template-file", str(template)),
            *("--s3-bucket", self.BUCKET, "--output-template-file", output),
        )
        return output

    def outputs(self, stack_name: str) -> dict[str, str]:
        """The stack's outputs by key."""
        text = self.aws("cloudformation", "describe-stacks", "--stack-name", stack_name)
        (stack,) = json.loads(text)["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", ())}

    def reasons(self, stack_name: str) -> list[str]:
        """The reasons of events in which a resource failed, as `describe-stack-events` shows."""
        text = self.aws("cloudformation", "describe-stack-events", "--stack-name", stack_name)
        events: list[dict[str, Any]] = json.loads(text)["StackEvents"]
        return [
            event["ResourceStatusReason"]
            for event in events
            if event["ResourceStatus"].endswith("_FAILED") and "ResourceStatusReason" in event
        ]
