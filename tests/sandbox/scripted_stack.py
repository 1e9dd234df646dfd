"""A stack to try the sandbox with."""

import json
from pathlib import Path
from typing import Any

from sandbox.aws import Sandbox
from sandbox.stacks import ASSET_BUCKET, Deployment

PERMISSIONS = (
    "cloudformation:DescribeStacks",
    "lambda:InvokeFunction",
    "logs:GetLogEvents",
    "sagemaker:ListClusterNodes",
)
"""What the function's calls need."""
FUNCTION = Path(__file__).with_name("scripted_function")


class ScriptedStack:
    """A stack with one custom resource, `Thing`, that does as it is told; see the function."""

    def __init__(self, sandbox: Sandbox, name: str) -> None:
        self.sandbox = sandbox
        self.name = name

    def deploy(
        self,
        *,
        outputs: tuple[str, ...] = (),
        exports: tuple[str, ...] = (),
        beside: dict[str, dict[str, Any]] | None = None,
        permissions: tuple[str, ...] = PERMISSIONS,
        function: dict[str, Any] | None = None,
        resources: dict[str, Any] | None = None,
        service_timeout: int = 30,
        rollback: bool = True,
        **scripts: dict[str, Any],
    ) -> Deployment:
        """Deploy with scripts for the request types, and more properties for the function.

        Args:
            exports: outputs that are exported, too.
            permissions: actions that the function's role may do.
            beside: scripts of more custom resources, none of which depends on another.
        """
        assume = {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        policy = {"Version": "2012-10-17", "Statement": [assume]}
        function_properties = {
            "Runtime": "python3.14",
            "Architectures": ["arm64"],
            "Handler": "index.handler",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Code": {"S3Bucket": ASSET_BUCKET, "S3Key": "scripted.zip"},
            "Timeout": 30,
            "MemorySize": 256,
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
                        "AssumeRolePolicyDocument": policy,
                        "Policies": [
                            {
                                "PolicyName": "Own",
                                "PolicyDocument": {
                                    "Version": "2012-10-17",
                                    "Statement": [
                                        {
                                            "Effect": "Allow",
                                            "Action": permissions,
                                            "Resource": "*",
                                        }
                                    ],
                                },
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
                    name: {"Type": "Custom::Thing", "Properties": thing(others)}
                    for name, others in (beside or {}).items()
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

    def requests(self) -> list[dict[str, Any]]:
        """The events that the resource was sent, in order."""
        events = [request.event for request in self.sandbox.requests()]
        return [event for event in events if f":stack/{self.name}/" in event["StackId"]]

    def request_types(self) -> list[str]:
        return [event["RequestType"] for event in self.requests()]
