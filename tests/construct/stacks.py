"""What the tests of constructs share: values, and the template and warnings of a stack."""

import json
from pathlib import Path
from typing import Any, Final

from aws_cdk import App, Stack, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Annotations, Match, Template
from cdk_nag import AwsSolutionsChecks

from hyperpod_node_removal import RemovalWarning

CLUSTER_ARN: Final = "arn:aws:sagemaker:us-west-2:111122223333:cluster/a1b2c3d4e5f6"
EKS_CLUSTER_ARN: Final = "arn:aws:eks:us-west-2:111122223333:cluster/training"
HOOK_ARN: Final = "arn:aws:lambda:us-west-2:111122223333:function:drain"
STACK_ARN: Final = "arn:aws:cloudformation:us-west-2:111122223333:stack/maintenance/*"
NODE: Final = "i-0123456789abcdef0"
POLICY: Final = "AWS::IAM::Policy"
FUNCTION: Final = "AWS::Lambda::Function"

Resources = dict[str, dict[str, Any]]


def app_of(stack: Stack) -> App:
    app = stack.node.root
    assert isinstance(app, App)
    return app


class Synthesized:
    """The template of a stack, synthesized once."""

    def __init__(self, stack: Stack) -> None:
        self.template: dict[str, Any] = dict(Template.from_stack(stack).to_json())

    def resources(self, resource_type: str, part: str = "") -> Resources:
        """The resources of a type with this in their logical ids."""
        resources: Resources = self.template.get("Resources", {})
        return {
            key: one
            for key, one in resources.items()
            if one["Type"] == resource_type and part in key
        }

    def one(self, resource_type: str, part: str = "") -> dict[str, Any]:
        """The only one of them."""
        (resource,) = self.resources(resource_type, part).values()
        return resource

    def properties(self, resource_type: str, part: str = "") -> dict[str, Any]:
        """Its properties."""
        return dict(self.one(resource_type, part).get("Properties", {}))

    def statements(self, part: str = "") -> list[tuple[Any, Any]]:
        """Actions and resource of each statement of the policies with this in their logical ids."""
        policies = self.resources(POLICY, part).values()
        return [
            (statement["Action"], statement["Resource"])
            for policy in policies
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
            if statement["Effect"] == "Allow"
        ]

    def actions(self, part: str = "") -> set[str]:
        """What those statements allow."""
        found = (actions for actions, _ in self.statements(part))
        return {
            one for actions in found for one in ([actions] if isinstance(actions, str) else actions)
        }


def warnings(stack: Stack) -> dict[str, list[str]]:
    """The warnings of a stack by their ids."""
    found: dict[str, list[str]] = {}
    for one in Annotations.from_stack(stack).find_warning("*", Match.any_value()):
        text, _, warning = str(one.entry.data).rpartition(" [ack: ")
        found.setdefault(warning.rstrip("]"), []).append(text)
    return found


def warnings_of(stack: Stack, kind: RemovalWarning) -> list[str]:
    return warnings(stack).get(kind, [])


def network(stack: Stack, *, public_subnet_ids: list[str] | None = None) -> ec2.IVpc:
    """A VPC that another app manages."""
    return ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-01234567",
        availability_zones=["us-west-2a"],
        private_subnet_ids=["subnet-01234567"],
        private_subnet_route_table_ids=["rtb-01234567"],
        public_subnet_ids=public_subnet_ids,
    )


def check_with_cdk_nag(app: App) -> App:
    """Add the AWS Solutions rules: synthesis fails if a finding is not acknowledged."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return app


def acknowledged_findings(app: App) -> list[dict[str, Any]]:
    """Synthesize an app, and return the findings of cdk-nag, which all are acknowledged."""
    report = json.loads(Path(app.synth().directory, "validation-report.json").read_text())
    plugins = report["pluginReports"]
    assert [found for plugin in plugins for found in plugin["violations"]] == []
    return [found for plugin in plugins for found in plugin.get("suppressedViolations", ())]
