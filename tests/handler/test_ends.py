"""What a removal that failed says of the service, and calls that return after the reply."""

import logging

import pytest

from sandbox.hyperpod import Cluster, ServiceError
from tests.handler.function import HOOK, Function
from tests.handler.world import World

DENIED = (
    "User: arn:aws:sts::123456789012:assumed-role/ml-stack-HyperPodNodeRemovalProviderRole5A1B2C3D"
    "-0123456789ab/ml-stack-HyperPodNodeRemovalProviderFunction9F8E7D6C-abcdefghijkl is not"
    " authorized to perform: sagemaker:{call} on resource: arn:aws:sagemaker:us-east-1:"
    "123456789012:cluster/0123456789ab "
)
BY_ROLE = "because no identity-based policy allows the sagemaker:{call} action"
BY_POLICY = (
    "with an explicit deny in a service control policy: arn:aws:organizations::210987654321:policy"
    "/o-a1b2c3d4e5/service_control_policy/p-0a1b2c3d"
)
BY_BOUNDARY = "because no permissions boundary allows the sagemaker:{call} action"


@pytest.fixture
def cluster(world: World) -> Cluster:
    return world.hp.create_cluster("ml-cluster", {"workers": 8})


# What the service said -----------------------------------------------------------------------


@pytest.mark.parametrize("call", ["DescribeCluster", "ListClusterNodes", "BatchDeleteClusterNodes"])
@pytest.mark.parametrize("why", [BY_ROLE, BY_POLICY, BY_BOUNDARY])
def test_why_a_call_was_denied_is_whole_in_the_log_and_at_the_end_of_the_reason(
    world: World,
    function: Function,
    cluster: Cluster,
    call: str,
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    message = (DENIED + why).format(call=call)
    world.hp.fail_while(call, lambda _: True, "AccessDeniedException", message=message, status=400)
    answer = function.send("Create", NodeIds=[cluster.node_ids("workers")[0]])
    assert answer["Status"] == "FAILED"
    assert any(message in record.getMessage() for record in caplog.records)
    reason = answer["Reason"]
    assert why.format(call=call)[-60:] in reason
    assert message in reason or "[...]" in reason
    assert ("its role needs" in reason) == (why == BY_ROLE)


@pytest.mark.parametrize("call", ["DescribeCluster", "ListClusterNodes", "BatchDeleteClusterNodes"])
@pytest.mark.parametrize(
    ("code", "status"),
    [("ThrottlingException", 400), ("Throttling", 403), ("TooManyRequestsException", 429)],
)
def test_throttling_is_not_worded_as_a_missing_permission(
    world: World, function: Function, cluster: Cluster, call: str, code: str, status: int
) -> None:
    world.hp.fail_while(call, lambda _: True, code, message="Rate exceeded", status=status)
    answer = function.send("Create", NodeIds=[cluster.node_ids("workers")[0]], RetryFor="60")
    assert answer["Status"] == "FAILED"
    assert code in answer["Reason"]
    assert "may not call" not in answer["Reason"]
    assert "role" not in answer["Reason"]


def test_the_stack_that_may_not_be_looked_at_is_told_with_why(
    world: World, function: Function, cluster: Cluster
) -> None:
    message = (DENIED + BY_POLICY).replace("sagemaker:{call}", "cloudformation:DescribeStacks")
    world.cloudformation.show = lambda: ServiceError("AccessDenied", message, 403)
    answer = function.send("Create", NodeIds=[cluster.node_ids("workers")[0]])
    assert answer["Status"] == "FAILED"
    assert BY_POLICY[-60:] in answer["Reason"]
    assert "its role needs" not in answer["Reason"]
    assert world.deletes == 0


@pytest.mark.parametrize("asks_hook", [True, False], ids=["the hook", "itself"])
def test_why_the_function_may_not_invoke_another_is_told_as_fully(
    world: World,
    function: Function,
    cluster: Cluster,
    asks_hook: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    message = (DENIED + BY_POLICY).replace("sagemaker:{call}", "lambda:InvokeFunction")
    errors = [ServiceError("AccessDeniedException", message, 403) for _ in range(99)]
    function.aws_lambda.hook_errors = list[Exception](errors)
    function.aws_lambda.errors = list[Exception](errors)
    node = cluster.node_ids("workers")[0]
    cluster.refuse(node)
    hook = {"BeforeRemoval": HOOK} if asks_hook else {}
    event = function.event("Create", {"ClusterName": "ml-cluster", "NodeIds": [node], **hook})
    answer = function.reply_to(event, seconds=200.0)
    assert answer["Status"] == "FAILED"
    assert BY_POLICY[-60:] in answer["Reason"]
    assert "[...]" in answer["Reason"]
    assert "its role needs" not in answer["Reason"]
    assert any(message in record.getMessage() for record in caplog.records)


# A call that returns too late ----------------------------------------------------------------


@pytest.mark.parametrize(
    "operation",
    ["DescribeStacks", "DescribeCluster", "ListClusterNodes", "BatchDeleteClusterNodes"],
)
@pytest.mark.parametrize("outcome", [None, 403, 503, 400])
def test_a_call_that_returns_after_the_reply_leads_to_nothing_more(
    world: World,
    function: Function,
    cluster: Cluster,
    operation: str,
    outcome: int | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    count = world.hp.calls

    def hang(_: object) -> None:
        if count["DescribeCluster"] or operation == "DescribeCluster":
            world.clock.sleep(max(0.0, 1_000_000 + 295 - world.clock.now()))
            if outcome:
                raise ServiceError("SomeCode", "late", outcome)

    world.before(operation, hang)
    nodes = [*cluster.node_ids("workers")[:2]]
    answer = function.send("Create", NodeIds=nodes, ServiceTimeout="300")
    assert answer["Status"] == "FAILED"
    assert "did not return before the function ran out of time" in answer["Reason"]
    late = [time for time in world.times("BatchDeleteClusterNodes") if time >= 1_000_290]
    assert late == []
    assert "nexpected" not in caplog.text
    assert answer["Data"]["RemovedCount"] == "0"


def test_a_hook_that_answers_after_the_reply_leads_to_nothing_more(
    world: World, function: Function, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def hook(_: object) -> dict[str, str]:
        world.clock.sleep(294)
        return {"Decision": "PROCEED"}

    function.aws_lambda.hook = hook
    answer = function.send(
        "Create",
        NodeIds=[cluster.node_ids("workers")[0]],
        BeforeRemoval=HOOK,
        ServiceTimeout="300",
    )
    assert answer["Status"] == "FAILED"
    assert world.deletes == 0
    assert "nexpected" not in caplog.text


def test_an_invocation_whose_hand_over_comes_too_late_does_not_start_another(
    world: World, function: Function, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cluster.refuse(cluster.node_ids("workers")[0])

    def hang(_: object) -> None:
        if 1_000_150 < world.clock.now() < 1_000_195:
            world.clock.sleep(1_000_195 - world.clock.now())

    world.before("ListClusterNodes", hang)
    answer = function.send("Create", NodeIds=[cluster.node_ids("workers")[0]], seconds=200.0)
    assert answer["Status"] == "FAILED"
    assert function.links == 1
    assert "nexpected" not in caplog.text
