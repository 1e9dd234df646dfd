"""The wait condition that shows a success in the stack's events."""

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Stack
from aws_cdk.assertions import Template
from aws_cdk.aws_sagemaker import CfnCluster

from hyperpod_node_removal import InvalidPropertyError, NodeRemoval, PartialFailure
from hyperpod_node_removal_contract import RESOURCE_TYPE
from tests.construct.removal_order import CLUSTER_ARN

WAIT_CONDITION = "AWS::CloudFormation::WaitCondition"
NODE, OTHER = "i-0123456789abcdef0", "i-0fedcba9876543210"


def removal(stack: Stack, construct_id: str = "Faulty", **more: Any) -> NodeRemoval:
    given: dict[str, Any] = {
        "cluster_arn": CLUSTER_ARN,
        "node_ids": [NODE],
        "on_partial_failure": PartialFailure.REPORT,
        "verdict_event": True,
    }
    return NodeRemoval(stack, construct_id, **(given | more))


def resources(**more: Any) -> dict[str, Any]:
    stack = Stack(App(analytics_reporting=False), "Stack")
    removal(stack, **more)
    return dict(Template.from_stack(stack).to_json()["Resources"])


def of_type(resources: dict[str, Any], kind: str) -> tuple[str, dict[str, Any]]:
    (found,) = ((key, one) for key, one in resources.items() if one["Type"] == kind)
    return found


def condition_id(**more: Any) -> str:
    return of_type(resources(**more), WAIT_CONDITION)[0]


def test_the_condition_waits_for_the_custom_resource_which_knows_its_logical_id() -> None:
    made = resources()
    custom_id, custom = of_type(made, RESOURCE_TYPE)
    condition, definition = of_type(made, WAIT_CONDITION)
    assert custom["Properties"]["VerdictCondition"] == condition
    assert definition == {
        "Type": WAIT_CONDITION,
        "CreationPolicy": {"ResourceSignal": {"Count": 1, "Timeout": "PT300S"}},
        "DependsOn": [custom_id],
    }


def test_each_set_and_each_retry_token_has_a_condition_of_its_own() -> None:
    ids = [
        condition_id(),
        condition_id(node_ids=[OTHER]),
        condition_id(node_ids=[], node_logical_ids=["gpu-7"]),
        condition_id(retry_token="2"),
        condition_id(dry_run=True),
    ]
    assert len(set(ids)) == len(ids)


def test_what_says_nothing_about_the_set_keeps_the_condition() -> None:
    assert condition_id() == condition_id(max_removals=3, protected_groups=["controllers"])


def test_what_depends_on_the_removal_does_not_wait_for_the_signal() -> None:
    stack = Stack(App(analytics_reporting=False), "Stack")
    cluster = CfnCluster(stack, "Cluster", cluster_name="ml-cluster")
    removal(stack, cluster_arn=None, cluster=cluster)
    second = removal(stack, "Second", cluster_arn=None, cluster_name="ml-cluster")
    made = dict(Template.from_stack(stack).to_json()["Resources"])
    conditions = {key for key, one in made.items() if one["Type"] == WAIT_CONDITION}
    assert len(conditions) == 2
    assert not any(conditions.intersection(one.get("DependsOn", ())) for one in made.values())
    assert stack.resolve(second.resource.ref)["Ref"] in made


def test_the_permission_to_signal_is_there_only_where_it_is_used() -> None:
    def actions(**more: Any) -> dict[str, Any]:
        _, policy = of_type(
            {
                key: one
                for key, one in resources(**more).items()
                if "Permissions" in key and one["Type"] == "AWS::IAM::Policy"
            },
            "AWS::IAM::Policy",
        )
        statements = policy["Properties"]["PolicyDocument"]["Statement"]
        return {
            action: one["Resource"]
            for one in statements
            for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
        }

    assert actions()["cloudformation:SignalResource"] == {"Ref": "AWS::StackId"}
    assert "cloudformation:SignalResource" not in actions(verdict_event=False)


def test_with_fail_it_is_refused() -> None:
    with pytest.raises(InvalidPropertyError, match=r"verdict_event.*with REPORT only"):
        resources(on_partial_failure=PartialFailure.FAIL)


def string(stack: Stack) -> CfnParameter:
    return CfnParameter(stack, "Text")


def strings(stack: Stack) -> CfnParameter:
    return CfnParameter(stack, "Texts", type="CommaDelimitedList")


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("node_ids", lambda stack: strings(stack).value_as_list),
        ("node_ids", lambda stack: [NODE, string(stack).value_as_string]),
        ("node_logical_ids", lambda stack: strings(stack).value_as_list),
        ("retry_token", lambda stack: string(stack).value_as_string),
    ],
)
def test_a_set_that_is_known_only_at_deployment_is_refused_with_the_way_out(
    argument: str, value: Callable[[Stack], Any]
) -> None:
    stack = Stack(App(analytics_reporting=False), "Stack")
    with pytest.raises(InvalidPropertyError, match=f"{argument} is known only at.*removal file"):
        removal(stack, **{argument: value(stack)})
    assert not stack.node.try_find_child("Faulty"), "nothing was added before it was refused"


def test_it_is_off_by_default() -> None:
    made = resources(verdict_event=False)
    assert WAIT_CONDITION not in {one["Type"] for one in made.values()}
    assert "VerdictCondition" not in of_type(made, RESOURCE_TYPE)[1]["Properties"]
