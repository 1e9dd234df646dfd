"""The wait condition that shows a success in the stack's events; the default template has none."""

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, CfnCondition, CfnParameter, Fn, Stack
from aws_cdk.aws_sagemaker import CfnCluster

from hyperpod_node_removal import InvalidPropertyError, NodeRemoval, PartialFailure
from hyperpod_node_removal_contract import RESOURCE_TYPE
from tests.construct.stacks import CLUSTER_ARN, NODE, Synthesized

WAIT_CONDITION = "AWS::CloudFormation::WaitCondition"


def removal(stack: Stack, construct_id: str = "Faulty", **more: Any) -> NodeRemoval:
    given: dict[str, Any] = {
        "cluster_arn": CLUSTER_ARN,
        "node_ids": [NODE],
        "on_partial_failure": PartialFailure.REPORT,
        "verdict_event": True,
    }
    return NodeRemoval(stack, construct_id, **(given | more))


def condition_id(**more: Any) -> str:
    stack = Stack(App(analytics_reporting=False), "Stack")
    removal(stack, **more)
    (found,) = Synthesized(stack).resources(WAIT_CONDITION)
    return found


def test_the_condition_waits_for_the_custom_resource_which_knows_its_logical_id(
    stack: Stack,
) -> None:
    removal(stack)
    made = Synthesized(stack)
    (custom_id,) = made.resources(RESOURCE_TYPE)
    ((condition, definition),) = made.resources(WAIT_CONDITION).items()
    assert made.properties(RESOURCE_TYPE)["VerdictCondition"] == condition
    assert definition == {
        "Type": WAIT_CONDITION,
        "CreationPolicy": {"ResourceSignal": {"Count": 1, "Timeout": "PT300S"}},
        "DependsOn": [custom_id],
    }
    assert "cloudformation:SignalResource" in made.actions("Permissions")


def test_the_condition_exists_only_if_the_removal_does(stack: Stack) -> None:
    """Otherwise it would wait for a signal that is never sent, and fail the stack."""
    made = removal(stack)
    given = CfnCondition(stack, "IsFaulty", expression=Fn.condition_equals(stack.region, "x"))
    made.resource.node.default_child.cfn_options.condition = given  # type: ignore[union-attr]
    ((_, definition),) = Synthesized(stack).resources(WAIT_CONDITION).items()
    assert definition["Condition"] == "IsFaulty"


def test_without_it_there_is_no_permission_to_signal(stack: Stack) -> None:
    removal(stack, verdict_event=False)
    assert "cloudformation:SignalResource" not in Synthesized(stack).actions()


def test_each_set_and_each_retry_token_has_its_own_condition() -> None:
    ids = [
        condition_id(),
        condition_id(node_ids=["i-0fedcba9876543210"]),
        condition_id(node_ids=[], node_logical_ids=["gpu-7"]),
        condition_id(retry_token="2"),
        condition_id(dry_run=True),
    ]
    assert len(set(ids)) == len(ids)
    assert condition_id(max_removals=3, protected_groups=["controllers"]) == ids[0]


def test_what_depends_on_the_removal_does_not_wait_for_the_signal(stack: Stack) -> None:
    cluster = CfnCluster(stack, "Cluster", cluster_name="ml-cluster")
    removal(stack, cluster_arn=None, cluster=cluster)
    removal(stack, "Second", cluster_arn=None, cluster_name="ml-cluster")
    made = Synthesized(stack)
    conditions = made.resources(WAIT_CONDITION).keys()
    assert len(conditions) == 2
    others = made.template["Resources"].values()
    assert not any(conditions & set(one.get("DependsOn", ())) for one in others)


def string(stack: Stack) -> Any:
    return CfnParameter(stack, "Text").value_as_string


def strings(stack: Stack) -> Any:
    return CfnParameter(stack, "Texts", type="CommaDelimitedList").value_as_list


@pytest.mark.parametrize(
    ("argument", "value", "problem"),
    [
        ("on_partial_failure", lambda _: PartialFailure.FAIL, "allowed: with REPORT only"),
        ("verdict_event", string, "is known only at deployment; allowed: True or False"),
        ("node_ids", strings, "node_ids is known only at.*removal file"),
        (
            "node_ids",
            lambda stack: [NODE, string(stack)],
            "node_ids is known only at.*removal file",
        ),
        ("node_logical_ids", strings, "node_logical_ids is known only at.*removal file"),
        ("retry_token", string, "retry_token is known only at.*removal file"),
    ],
)
def test_a_verdict_event_that_cannot_work_is_rejected_with_a_way_out(
    stack: Stack, argument: str, value: Callable[[Stack], Any], problem: str
) -> None:
    with pytest.raises(InvalidPropertyError, match=f"verdict_event: .*{problem}"):
        removal(stack, **{argument: value(stack)})
    assert not stack.node.try_find_child("Faulty"), "nothing was added before it was refused"
