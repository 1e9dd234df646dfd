"""What does not fit into a role, and what cdk-nag says."""

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Environment, Stack, Validations
from aws_cdk.assertions import Template
from aws_cdk.aws_iam import PolicyStatement
from cdk_nag import AwsSolutionsChecks
from hypothesis import given
from hypothesis import strategies as st

from hyperpod_node_removal import InvalidPropertyError, NodeRemoval, NodeRemovalProvider
from hyperpod_node_removal._function_role import INLINE_POLICIES_MAX, least_size

pytestmark = pytest.mark.xdist_group("construct-permissions")


def arn(number: int) -> str:
    return f"arn:aws:sagemaker:us-west-2:111122223333:cluster/{number:012d}"


class Nagged:
    """An app that ran the AWS Solutions rules, and what they found."""

    def __init__(self, env: Environment | None = None, **properties: Any) -> None:
        app = App(analytics_reporting=False)
        Validations.of(app).add_plugins(AwsSolutionsChecks(app))
        stack = Stack(app, "Stack", env=env)
        NodeRemoval(stack, "Removal", node_ids=["i-01234567"], **properties)
        NodeRemoval(stack, "Another", node_ids=["i-01234567"], **properties)
        assembly = app.synth()  # fails if a finding is not acknowledged
        report = json.loads(Path(assembly.directory, "validation-report.json").read_text())
        plugins = report["pluginReports"]
        self.findings = [found for plugin in plugins for found in plugin["violations"]]
        self.acknowledged = [
            found for plugin in plugins for found in plugin.get("suppressedViolations", ())
        ]


def test_cdk_nag_finds_nothing_with_an_arn() -> None:
    nagged = Nagged(
        cluster_arn=arn(1), eks_cluster_arn="arn:aws:eks:us-west-2:111122223333:cluster/a"
    )
    assert nagged.findings == []
    assert nagged.acknowledged == []


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
    nagged = Nagged(env, cluster_name="ml-cluster")
    assert nagged.findings == []
    (finding,) = nagged.acknowledged
    assert finding["ruleName"] == (
        f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:sagemaker:{place}:cluster/*]"
    )
    assert "Specify cluster_arn instead" in finding["reason"]
    assert len(finding["violatingConstructs"]) == 1


def test_the_rule_pack_is_awake() -> None:
    """Without a finding of its own, silence about ours would prove nothing."""
    app = App(analytics_reporting=False)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    stack = Stack(app, "Stack")
    removal = NodeRemoval(stack, "Removal", cluster_arn=arn(1))
    removal.provider.role.add_to_principal_policy(
        PolicyStatement(actions=["s3:*"], resources=["*"])
    )
    with pytest.raises(RuntimeError, match=r"AwsSolutions-IAM5\[Action::s3:\*\]"):
        app.synth()


STACK_ARN = "arn:aws:cloudformation:us-west-2:111122223333:stack/maintenance/*"
HOOK_ARN = "arn:aws:lambda:us-west-2:111122223333:function:drain:live"
EKS_CLUSTER_ARN = "arn:aws:eks:us-west-2:111122223333:cluster/a"


def test_removals_of_plain_templates_are_allowed_and_nothing_else() -> None:
    app = App(analytics_reporting=False)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    stack = Stack(app, "Stack")
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
    policies = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    (document,) = (
        policy["Properties"]["PolicyDocument"]
        for policy in policies
        if "RemovalsElsewhere" in policy["Properties"]["PolicyName"]
    )
    allowed = [(one["Action"], one["Resource"]) for one in document["Statement"]]
    assert allowed == [
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


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"stack_arn": STACK_ARN.removesuffix("/*")},
            (
                "stack_arn: 'arn:aws:cloudformation:us-west-2:111122223333:stack/maintenance' is"
                " not the ARN of a stack; allowed: arn:aws:cloudformation:<region>:<account>:stack/"
                "<name>/<id>, where <id> may be *"
            ),
        ),
        ({"stack_arn": "*"}, "stack_arn: '*' is not the ARN of a stack;"),
        ({"cluster_arn": "ml-cluster"}, "cluster_arn: 'ml-cluster' is not a cluster ARN;"),
        (
            {"before_removal_arn": f"{HOOK_ARN}:*"},
            f"before_removal_arn: '{HOOK_ARN}:*' is not the ARN of a function; allowed:",
        ),
        ({"eks_cluster_arn": "a"}, "eks_cluster_arn: 'a' is not the ARN of an EKS cluster;"),
    ],
)
def test_what_is_no_permission_for_a_plain_template(
    arguments: dict[str, str], sentence: str
) -> None:
    provider = NodeRemovalProvider(Stack(App(), "Stack"))
    with pytest.raises(InvalidPropertyError) as caught:
        provider.allow_removals(**(GIVEN | arguments))
    assert str(caught.value).startswith(f"Stack/HyperPodNodeRemovalProvider: {sentence}")


def test_permissions_for_plain_templates_count_towards_the_role() -> None:
    app = App(analytics_reporting=False)
    provider = NodeRemovalProvider(Stack(app, "Stack"))
    for number in range(200):
        provider.allow_removals(stack_arn=STACK_ARN, cluster_arn=arn(number))
    with pytest.raises(RuntimeError, match="allowed: 10240 in one role"):
        app.synth()


def test_a_hundred_clusters_fit_into_one_role() -> None:
    app = App(analytics_reporting=False)
    provider = NodeRemovalProvider(Stack(app, "Stack"))
    for number in range(100):
        NodeRemoval(provider, f"Removal{number}", cluster_arn=arn(number))
    app.synth()


def test_permissions_that_cannot_fit_fail_the_synth_with_a_way_out() -> None:
    app = App(analytics_reporting=False)
    provider = NodeRemovalProvider(Stack(app, "Owner"))
    for half in range(2):
        stack = Stack(app, f"User{half}")
        for number in range(90):
            NodeRemoval(stack, f"Removal{number}", cluster_arn=arn(number), provider=provider)
    with pytest.raises(RuntimeError) as caught:
        app.synth()
    text = str(caught.value)
    assert "removals of Owner/HyperPodNodeRemovalProvider have 1" in text
    assert "allowed: 10240 in one role" in text
    assert (
        "another NodeRemovalProvider for some removals, or specify their clusters by cluster_name"
        in text
    )
    assert INLINE_POLICIES_MAX == 10_240


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
