"""Permissions: the findings of cdk-nag, and removals that plain templates declare."""

from typing import Any

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk.aws_lambda import Function

from hyperpod_node_removal import InvalidPropertyError, NodeRemoval, NodeRemovalProvider
from hyperpod_node_removal_contract import RESOURCE_TYPE
from tests.construct.stacks import (
    EKS_CLUSTER_ARN,
    HOOK_ARN,
    POLICY,
    STACK_ARN,
    Synthesized,
    acknowledged_findings,
    app_of,
    check_with_cdk_nag,
)


def arn(number: int) -> str:
    return f"arn:aws:sagemaker:us-west-2:111122223333:cluster/{number:012d}"


def findings(env: Environment | None = None, **properties: Any) -> list[dict[str, Any]]:
    """What cdk-nag finds in a stack with two such removals."""
    app = check_with_cdk_nag(App(analytics_reporting=False))
    stack = Stack(app, "Stack", env=env)
    for name in ("Removal", "Another"):
        NodeRemoval(stack, name, node_ids=["i-01234567"], **properties)
    return acknowledged_findings(app)


def test_cdk_nag_finds_nothing_with_an_arn() -> None:
    assert findings(cluster_arn=arn(1), eks_cluster_arn=EKS_CLUSTER_ARN) == []


@pytest.mark.parametrize(
    ("env", "place"),
    [
        (None, "<AWS::Region>:<AWS::AccountId>"),
        (Environment(account="111122223333", region="us-west-2"), "us-west-2:111122223333"),
    ],
)
def test_cdk_nag_finds_one_acknowledged_wildcard_with_a_name(
    env: Environment | None, place: str
) -> None:
    (finding,) = findings(env, cluster_name="ml-cluster")
    assert finding["ruleName"] == (
        f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:sagemaker:{place}:cluster/*]"
    )
    assert "Specify cluster_arn instead" in finding["reason"]
    assert len(finding["violatingConstructs"]) == 1


def test_removals_of_plain_templates_are_allowed_and_nothing_else(stack: Stack) -> None:
    app = check_with_cdk_nag(app_of(stack))
    provider = NodeRemovalProvider(stack)
    provider.allow_removals(
        stack_arn=STACK_ARN,
        cluster_arn=arn(1),
        eks_cluster_arn=EKS_CLUSTER_ARN,
        before_removal_arn=HOOK_ARN,
    )
    another = STACK_ARN.replace("maintenance", "repair")
    for _ in range(2):
        provider.allow_removals(stack_arn=another, cluster_arn=arn(1))
    app.synth()  # fails if cdk-nag finds a wildcard that is not acknowledged
    assert Synthesized(stack).statements("RemovalsElsewhere") == [
        ("cloudformation:DescribeStacks", [STACK_ARN, another]),
        (
            [
                "sagemaker:BatchDeleteClusterNodes",
                "sagemaker:DescribeCluster",
                "sagemaker:DescribeClusterNode",
                "sagemaker:ListClusterNodes",
            ],
            arn(1),
        ),
        ("eks:DescribeCluster", EKS_CLUSTER_ARN),
        ("lambda:InvokeFunction", HOOK_ARN),
    ]


GIVEN: dict[str, Any] = {"stack_arn": STACK_ARN, "cluster_arn": arn(1)}


NO_ID = STACK_ARN.removesuffix("/*")
STACK_FORM = "arn:aws:cloudformation:<region>:<account>:stack/<name>/<id>, where <id> may be *"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("stack_arn", NO_ID, f"'{NO_ID}' is not the ARN of a stack; allowed: {STACK_FORM}"),
        ("stack_arn", "*", "'*' is not the ARN of a stack;"),
        ("cluster_arn", "ml-cluster", "'ml-cluster' is not a cluster ARN;"),
        (
            "before_removal_arn",
            f"{HOOK_ARN}:*",
            f"'{HOOK_ARN}:*' is not the ARN of a function;",
        ),
        ("eks_cluster_arn", "a", "'a' is not the ARN of an EKS cluster;"),
        ("verdict_events", "false", "'false' (str) is not True or False"),
    ],
)
def test_invalid_permissions_for_plain_templates_are_rejected(
    stack: Stack, name: str, value: str, problem: str
) -> None:
    provider = NodeRemovalProvider(stack)
    with pytest.raises(InvalidPropertyError) as caught:
        provider.allow_removals(**(GIVEN | {name: value}))
    assert str(caught.value).startswith(f"Stack/HyperPodNodeRemovalProvider: {name}: {problem}")


def with_hooks(*aliases: str) -> Synthesized:
    """A stack with a removal for each alias of a hook; without one if that is empty."""
    stack = Stack(App(analytics_reporting=False), "Stack")
    for number, alias in enumerate(aliases):
        arn_of_hook = f"{HOOK_ARN}:{alias}"
        hook = Function.from_function_arn(stack, f"Hook{number}", arn_of_hook) if alias else None
        NodeRemoval(stack, f"Removal{number}", cluster_arn=arn(1), before_removal=hook)
    return Synthesized(stack)


def test_each_hook_has_a_policy_of_its_own_which_comes_and_goes_with_it() -> None:
    """A rollback reverts a policy that the deployment has changed before it sends the removal its
    request, and deletes one that it has added at its end: until then, nodes can be released."""
    before, after = with_hooks("").resources(POLICY), with_hooks("", "a", "b", "a")
    assert before.items() <= after.resources(POLICY).items()
    added = after.resources(POLICY).keys() - before.keys()
    assert sorted(after.statements(policy) for policy in added) == [
        [("lambda:InvokeFunction", f"{HOOK_ARN}:a")],
        [("lambda:InvokeFunction", f"{HOOK_ARN}:b")],
    ]
    for removal in after.resources(RESOURCE_TYPE).values():
        assert added <= set(removal["DependsOn"])
