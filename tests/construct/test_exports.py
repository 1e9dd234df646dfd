"""Warnings of attributes that may be empty where no empty value is accepted."""

from typing import Any

import pytest
from aws_cdk import Annotations as Notes
from aws_cdk import App, CfnOutput, CfnParameter, Environment, Fn, NestedStack, Stack
from aws_cdk import aws_ssm as ssm
from aws_cdk.assertions import Template

from hyperpod_node_removal import NodeRemoval, RemovalWarning
from hyperpod_node_removal._attributes import MAY_BE_EMPTY
from hyperpod_node_removal_contract import Attribute, Outcome
from hyperpod_node_removal_handler.report import data
from tests.construct.stacks import warnings_of

HERE = Environment(account="111122223333", region="us-west-2")
THERE = Environment(account="111122223333", region="eu-west-1")


class Case:
    """An app with a removal in one stack, and another stack that may use what it has."""

    def __init__(self, *, region_of_the_other: Environment = HERE) -> None:
        app = App(analytics_reporting=False)
        self.stack = Stack(app, "Stack", env=HERE, cross_region_references=True)
        self.other = Stack(app, "Other", env=region_of_the_other, cross_region_references=True)
        self.removal = NodeRemoval(self.stack, "Removal", cluster_name="ml-cluster")

    def warnings(self) -> list[str]:
        return warnings_of(self.stack, RemovalWarning.EMPTY_EXPORT)

    def outputs(self) -> dict[str, Any]:
        found: dict[str, Any] = Template.from_stack(self.stack).to_json().get("Outputs", {})
        return found


@pytest.fixture
def case() -> Case:
    return Case()


def test_what_may_be_empty_is_what_the_function_leaves_empty() -> None:
    attributes = data(Outcome.EMPTY, "ml-cluster")
    assert {name for name, value in attributes.items() if not value} == set(MAY_BE_EMPTY)


def test_an_attribute_that_another_stack_uses_gets_a_warning(case: Case) -> None:
    CfnOutput(case.other, "Failed", value=case.removal.failed_nodes)
    CfnOutput(case.other, "Count", value=case.removal.failed_count)
    CfnOutput(case.other, "Counts", value=case.removal.instance_group_target_counts)
    (warning,) = case.warnings()
    (name,) = (key for key in case.outputs() if "FailedNodes" in key)
    assert f"FailedNodes may be empty, and is the value of the exported Output {name}." in warning
    assert "after the nodes are gone" in warning
    assert "failed_count" in warning


def test_each_attribute_that_may_be_empty_gets_one_warning(case: Case) -> None:
    for attribute in Attribute:
        value = case.removal.resource.get_att_string(attribute.value)
        for use in ("One", "Other"):
            CfnOutput(case.other, f"{use}{attribute}", value=value)
    assert {warning.partition(" ")[0] for warning in case.warnings()} == set(MAY_BE_EMPTY)
    assert len(case.warnings()) == len(MAY_BE_EMPTY)


def test_an_export_of_the_stack_itself_gets_a_warning(case: Case) -> None:
    CfnOutput(case.stack, "Removed", value=case.removal.removed_nodes, export_name="removed")
    case.stack.export_value(case.removal.warnings)
    case.stack.export_value(case.removal.failed_nodes, name="failed")
    removed, failed, warnings = sorted(case.warnings(), key=lambda text: "RFW".index(text[0]))
    assert "RemovedNodes may be empty, and is the value of the exported Output Removed." in removed
    assert "exported Output Exportfailed." in failed
    assert warnings.startswith("Warnings may be empty")


@pytest.mark.parametrize(
    ("value", "is_warned_of"),
    [
        (lambda removal: f"nodes:{removal.failed_nodes}", False),
        (lambda removal: f"{removal.failed_nodes}{removal.failed_count}", False),
        (lambda removal: Fn.join(",", [removal.failed_nodes, removal.accepted_nodes]), False),
        (lambda removal: f" {removal.failed_nodes}", True),
        (lambda removal: Fn.join(" ", [removal.failed_nodes, removal.failed_nodes]), True),
        (lambda removal: Fn.select(0, Fn.split(",", removal.failed_nodes)), True),
    ],
    ids=["text", "count", "comma", "blank", "blanks", "first"],
)
def test_only_a_value_that_may_be_empty_as_a_whole_gets_a_warning(
    case: Case, value: Any, is_warned_of: bool
) -> None:
    CfnOutput(case.stack, "Failed", value=value(case.removal), export_name="failed")
    assert bool(case.warnings()) is is_warned_of


def test_an_ssm_parameter_gets_a_warning(case: Case) -> None:
    ssm.StringParameter(case.stack, "Failed", string_value=case.removal.failed_nodes)
    ssm.StringParameter(case.stack, "Count", string_value=case.removal.failed_count)
    (warning,) = case.warnings()
    assert "is the value of an SSM parameter of Stack/Failed/Resource." in warning


def test_the_parameter_that_the_cdk_creates_for_another_region_gets_a_warning() -> None:
    case = Case(region_of_the_other=THERE)
    CfnOutput(case.other, "Failed", value=case.removal.failed_nodes)
    CfnOutput(case.other, "Count", value=case.removal.failed_count)
    (warning,) = case.warnings()
    assert "FailedNodes may be empty, and is the value of an SSM parameter of" in warning


def test_an_attribute_that_leaves_a_nested_stack_gets_a_warning(case: Case) -> None:
    nested = NestedStack(case.stack, "Nested")
    deeper = NestedStack(nested, "Deeper")
    removal = NodeRemoval(deeper, "InNested", cluster_name="ml-cluster")
    CfnOutput(case.stack, "NotExported", value=removal.removed_nodes)
    CfnOutput(case.other, "Failed", value=removal.failed_nodes)
    CfnOutput(case.other, "Count", value=removal.failed_count)
    (warning,) = case.warnings()
    assert warning.startswith("FailedNodes may be empty, and is the value of the exported Output")


def test_only_exports_of_attributes_that_may_be_empty_get_a_warning(case: Case) -> None:
    CfnOutput(case.stack, "NotExported", value=case.removal.removed_nodes)
    case.stack.export_value(case.removal.removed_count)
    parameter = CfnParameter(case.stack, "Text")
    CfnOutput(case.stack, "Out", value=parameter.value_as_string, export_name="text")
    CfnOutput(case.stack, "Arn", value=case.removal.provider.service_token, export_name="arn")
    assert case.warnings() == []


def test_an_acknowledgment_does_not_change_the_templates() -> None:
    warned, acknowledged = Case(), Case()
    Notes.of(acknowledged.removal).acknowledge_warning(RemovalWarning.EMPTY_EXPORT, "never empty")
    for case in (warned, acknowledged):
        CfnOutput(case.other, "Failed", value=case.removal.failed_nodes)
    assert warned.warnings()
    assert not acknowledged.warnings()
    for one in ("stack", "other"):
        templates = [Template.from_stack(getattr(case, one)) for case in (warned, acknowledged)]
        assert templates[0].to_json() == templates[1].to_json()
