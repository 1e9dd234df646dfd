"""A stack for tests of the sandbox, and helpers to read its events."""

import json
from pathlib import Path
from typing import Any

from sandbox.aws import Sandbox
from sandbox.stacks import ASSET_BUCKET, Deployment, StackEvent

PERMISSIONS = (
    "cloudformation:DescribeStacks",
    "lambda:InvokeFunction",
    "logs:GetLogEvents",
    "sagemaker:ListClusterNodes",
)
"""What the function's calls need."""
FAILED = {"Status": "FAILED", "Reason": "Not today."}
FUNCTION = Path(__file__).with_name("scripted_function")


def events_of(deployment: Deployment, logical_id: str = "Thing") -> list[StackEvent]:
    """Return the events of a resource, or of the stack itself, in order."""
    return [event for event in deployment.events if event.logical_id == logical_id]


def statuses(deployment: Deployment, logical_id: str = "Thing") -> list[str]:
    """Return the statuses in the events of a resource, in order."""
    return [event.status for event in events_of(deployment, logical_id)]


def reason_of(deployment: Deployment, status: str, logical_id: str = "Thing") -> str:
    """Return the reason of the one event of a resource with this status."""
    (event,) = [e for e in events_of(deployment, logical_id) if e.status == status]
    return event.reason


class ScriptedStack:
    """A stack with a custom resource, `Thing`, that runs scripts; see the function."""

    def __init__(self, sandbox: Sandbox, name: str) -> None:
        self.sandbox = sandbox
        self.name = name
        self.log_group = f"/own/{name}"

    def deploy(
        self,
        *,
        outputs: tuple[str, ...] = (),
        exports: tuple[str, ...] = (),
        others: dict[str, dict[str, Any]] | None = None,
        permissions: tuple[str, ...] = PERMISSIONS,
        function: dict[str, Any] | None = None,
        resources: dict[str, Any] | None = None,
        log: tuple[str, str] = ("JSON", "INFO"),
        service_timeout: int = 30,
        rollback: bool = True,
        **scripts: dict[str, Any],
    ) -> Deployment:
        """Deploy with scripts for the request types.

        Args:
            exports: outputs that are exported, too.
            permissions: actions that the function's role allows.
            others: scripts of more custom resources, none of which depends on another.
            function: more properties of the function.
            log: format and level of the function's log.
        """

        def policy(**statement: Any) -> dict[str, Any]:
            return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}

        function_properties = {
            "Runtime": "python3.14",
            "Architectures": ["arm64"],
            "Handler": "index.handler",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Code": {"S3Bucket": ASSET_BUCKET, "S3Key": "scripted.zip"},
            "Timeout": 30,
            "MemorySize": 256,
            "LoggingConfig": {
                "LogGroup": self.log_group,
                "LogFormat": log[0],
                **({"ApplicationLogLevel": log[1]} if log[0] == "JSON" else {}),
            },
            **(function or {}),
        }

        def thing(scripts: dict[str, Any]) -> dict[str, Any]:
            return {
                "ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]},
                "ServiceTimeout": service_timeout,
                **{name: json.dumps(script) for name, script in scripts.items()},
            }

        template = {
            "Resources": {
                "Role": {
                    "Type": "AWS::IAM::Role",
                    "Properties": {
                        "AssumeRolePolicyDocument": policy(
                            Principal={"Service": "lambda.amazonaws.com"}, Action="sts:AssumeRole"
                        ),
                        "Policies": [
                            {
                                "PolicyName": "Own",
                                "PolicyDocument": policy(Action=permissions, Resource="*"),
                            }
                        ],
                    },
                },
                "Function": {"Type": "AWS::Lambda::Function", "Properties": function_properties},
                "Thing": {
                    "Type": "Custom::Thing",
                    "Properties": thing(scripts),
                    "DependsOn": [*(resources or {})],
                },
                **(resources or {}),
                **{
                    name: {"Type": "Custom::Thing", "Properties": thing(more)}
                    for name, more in (others or {}).items()
                },
            },
            "Outputs": {
                name: {
                    "Value": {"Fn::GetAtt": ["Thing", name]},
                    **({"Export": {"Name": f"{self.name}-{name}"}} if name in exports else {}),
                }
                for name in (*outputs, *exports)
            },
        }
        return self.sandbox.deploy(
            self.name, template, assets={"scripted.zip": FUNCTION}, rollback=rollback
        )

    def requests(self, logical_id: str = "Thing") -> list[dict[str, Any]]:
        """Return the requests that the resource was sent, in order."""
        return [
            event
            for event in self.sandbox.requests()
            if f":stack/{self.name}/" in event["StackId"]
            and event["LogicalResourceId"] == logical_id
        ]

    def request_types(self, logical_id: str = "Thing") -> list[str]:
        return [event["RequestType"] for event in self.requests(logical_id)]

    def log_lines(self) -> list[str]:
        return self.sandbox.log_lines(self.log_group)
