"""Permissions: cdk-nag's findings, those for plain templates, and what does not fit into a role."""

import json
from typing import Any

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk.aws_iam import PolicyStatement
from aws_cdk.aws_lambda import Function
from hypothesis import given
from hypothesis import strategies as st

from hyperpod_node_removal import InvalidPropertyError, NodeRemoval, NodeRemovalProvider
from hyperpod_node_removal._function_role import INLINE_POLICIES_MAX, least_size
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


def test_the_rule_pack_is_awake(stack: Stack) -> None:
    """Without a finding of another statement, silence about the project's would prove nothing."""
    app = check_with_cdk_nag(app_of(stack))
    removal = NodeRemoval(stack, "Removal", cluster_arn=arn(1))
    removal.provider.role.add_to_principal_policy(
        PolicyStatement(actions=["s3:*"], resources=["*"])
    )
    with pytest.raises(RuntimeError, match=r"AwsSolutions-IAM5\[Action::s3:\*\]"):
        app.synth()


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
    ],
)
def test_what_is_no_permission_for_a_plain_template(
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


def test_permissions_for_plain_templates_count_towards_the_role(stack: Stack) -> None:
    provider = NodeRemovalProvider(stack)
    for number in range(170):
        provider.allow_removals(stack_arn=STACK_ARN, cluster_arn=arn(number))
    with pytest.raises(RuntimeError, match=f"allowed: {INLINE_POLICIES_MAX} in one role"):
        app_of(stack).synth()


def test_a_hundred_clusters_fit_into_one_role(stack: Stack) -> None:
    provider = NodeRemovalProvider(stack)
    for number in range(100):
        provider.allow_removals(stack_arn=STACK_ARN, cluster_arn=arn(number))
    app_of(stack).synth()


def test_permissions_that_cannot_fit_fail_the_synth_with_a_way_out(stack: Stack) -> None:
    app = app_of(stack)
    provider = NodeRemovalProvider(stack)
    for number in range(130):
        provider.allow_removals(stack_arn=STACK_ARN, cluster_arn=arn(number))
    for half in range(2):
        user = Stack(app, f"User{half}")
        for number in range(15):
            NodeRemoval(user, f"Removal{number}", cluster_arn=arn(number), provider=provider)
    with pytest.raises(RuntimeError) as caught:
        app.synth()
    text = str(caught.value)
    assert "removals of Stack/HyperPodNodeRemovalProvider have 1" in text
    assert (
        "characters; allowed: 10240 in one role. Use another NodeRemovalProvider for some removals,"
        " or specify their clusters by cluster_name"
    ) in text


@pytest.mark.parametrize(
    ("document", "size"),
    [
        ({"Action": "a b", "Resource": ["x", "y"]}, len('{"Action":"ab","Resource":["x","y"]}')),
        ({"Resource": {"Ref": "AWS::StackId"}}, len('{"Resource":""}')),
        ({"Resource": {"Fn::GetAtt": ["Cluster", "Arn"]}}, len('{"Resource":""}')),
        (
            {"Resource": {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":x"]]}},
            len('{"Resource":"arn::x"}'),
        ),
    ],
)
def test_least_size_counts_what_is_literal(document: dict[str, Any], size: int) -> None:
    assert least_size(document) == size


words = st.text(max_size=20)
tokens = st.one_of(
    st.fixed_dictionaries({"Ref": words}),
    st.fixed_dictionaries({"Fn::GetAtt": st.lists(words, min_size=2, max_size=2)}),
    st.fixed_dictionaries({"Fn::ImportValue": words}),
)
joins = st.fixed_dictionaries({"Fn::Join": st.tuples(words, st.lists(words | tokens))})
documents = st.dictionaries(
    st.sampled_from(["Action", "Effect", "Resource"]),
    words | tokens | joins | st.lists(words | tokens | joins, max_size=4),
)


@given(documents)
def test_least_size_never_counts_more_than_there_is(document: dict[str, Any]) -> None:
    assert least_size(document) <= len(json.dumps(document))
