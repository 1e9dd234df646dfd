"""What is refused, denied or throttled: for how long it is retried, and what is said of it."""

import pytest

from sandbox.hyperpod import ServiceError
from tests.handler.function import HOOK
from tests.handler.world import World

CALLS = ["DescribeCluster", "ListClusterNodes", "BatchDeleteClusterNodes"]
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


# Of nodes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["InvalidNodeStatus", "NodeIdInUse", "InternalError"])
def test_a_transient_refusal_is_retried_until_it_passes(world: World, code: str) -> None:
    nodes = world.nodes[:2]
    world.cluster.refuse(nodes[0], code, until=world.clock.now() + 100)
    assert world.send("Create", NodeIds=nodes)["Data"]["RemovedNodes"] == ",".join(nodes)


@pytest.mark.parametrize("code", ["InvalidNodeStatus", "NodeIdInUse", "InternalError"])
def test_a_transient_refusal_that_stays_fails_after_retry_for(world: World, code: str) -> None:
    bad, good, *_ = world.nodes
    world.cluster.refuse(bad, code, "busy with something")
    answer = world.send("Create", NodeIds=[bad, good], RetryFor="300")
    assert answer["Data"]["FailedNodes"] == bad
    assert f'{code}: {bad}. {code}: "busy with something" (' in answer["Reason"]
    assert 299 <= world.request_times[-1] - world.request_times[0] <= 301


def test_an_unknown_code_is_a_failure_under_its_own_name(world: World) -> None:
    bad, good, *_ = world.nodes
    world.cluster.refuse(bad, "NodeOnTheMoon", "cannot reach it")
    answer = world.send("Create", NodeIds=[bad, good])
    assert f"NodeOnTheMoon: {bad}." in answer["Reason"]
    assert world.deletes == 1


@pytest.mark.parametrize("code", ["NodeIdNotFound", "NodeLogicalIdNotFound"])
@pytest.mark.parametrize("retry_for", ["0", "300"])
def test_a_listed_node_is_not_taken_as_not_found(world: World, code: str, retry_for: str) -> None:
    listed, good, *_ = world.nodes
    world.cluster.refuse(listed, code)
    answer = world.send("Create", NodeIds=[listed, good], RetryFor=retry_for)
    assert f"{code}: {listed}." in answer["Reason"]
    assert listed in world.cluster.present


# Of the cluster ------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
def test_a_busy_cluster_is_waited_for(world: World, code: str) -> None:
    world.hp.rules.busy_code = code
    nodes = world.nodes[:2]
    world.cluster.set_status("Updating", until=world.clock.now() + 240)
    assert world.send("Create", NodeIds=nodes)["Data"]["RemovedNodes"] == ",".join(nodes)
    assert world.deletes == 1, "a cluster that is known to be busy is not asked"


@pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
def test_a_cluster_that_becomes_busy_is_waited_for(world: World, code: str) -> None:
    world.hp.rules.busy_code = code
    bad, good, *_ = world.nodes
    world.cluster.refuse(bad, times=1)

    def become_busy(*_: object) -> None:
        if world.deletes == 1:
            world.cluster.set_status("Updating", until=world.clock.now() + 100)

    world.after("BatchDeleteClusterNodes", become_busy)
    assert world.send("Create", NodeIds=[bad, good])["Data"]["RemovedNodes"] == f"{bad},{good}"


def test_a_cluster_that_stays_busy_is_a_failure(world: World) -> None:
    nodes = world.nodes[:2]
    world.cluster.set_status("Updating")
    answer = world.send("Create", NodeIds=nodes, RetryFor="60")
    assert f"ClusterBusy: {nodes[0]}, {nodes[1]}." in answer["Reason"]
    assert world.hp.requested_nodes == set()


@pytest.mark.parametrize("dry_run", ["true", "false"])
def test_a_cluster_that_does_not_exist_is_one_sentence(world: World, dry_run: str) -> None:
    more = {"ClusterName": "no-such-cluster", "DryRun": dry_run}
    reason = world.fails("Create", NodeIds=["i-0123456789abcdef0"], **more)
    assert "Cluster 'no-such-cluster' was not found" in reason
    assert "account and the region" in reason
    assert world.deletes == 0


@pytest.mark.parametrize("operation", ["ListClusterNodes", "BatchDeleteClusterNodes"])
def test_not_found_of_something_else_is_not_a_deleted_cluster(world: World, operation: str) -> None:
    nodes = world.nodes[:2]
    message = "No EKS cluster found."
    world.hp.fail_while(operation, lambda _: True, "ResourceNotFoundException", message=message)
    assert "No EKS cluster found" in world.fails("Create", NodeIds=nodes)
    assert set(nodes) <= world.cluster.present


# Throttling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize(("code", "status"), [("429", 429), ("ThrottlingException", 400)])
def test_throttling_is_waited_out(world: World, operation: str, code: str, status: int) -> None:
    world.hp.fail_next(operation, code, status=status, times=4)
    nodes = world.nodes
    world.succeeds("Create", NodeIds=nodes)
    # Nothing is taken apart to find nodes at fault.
    assert {request.node_ids for request in world.hp.delete_requests} == {tuple(nodes)}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("code", "status"),
    [("ThrottlingException", 400), ("Throttling", 403), ("TooManyRequestsException", 429)],
)
def test_throttling_without_end_is_a_failure_and_not_worded_as_a_missing_permission(
    world: World, call: str, code: str, status: int
) -> None:
    world.hp.fail_while(call, lambda _: True, code, message="Rate exceeded", status=status)
    node = world.nodes[0]
    answer = world.send("Create", NodeIds=[node], RetryFor="60")
    assert answer["Status"] == "FAILED"
    assert answer["Data"]["FailedNodes"] == node
    assert code in answer["Reason"]
    assert (f"{code}: {node}." in answer["Reason"]) is (call == "BatchDeleteClusterNodes")
    assert "may not call" not in answer["Reason"]
    assert "role" not in answer["Reason"]


def test_throttling_does_not_starve_the_end_of_the_template(world: World) -> None:
    world.make_cluster(300)
    world.hp.fail_while("BatchDeleteClusterNodes", lambda _: True)
    result = world.remove(world.nodes, retry_for=600)
    attempts = [node.attempts for node in result.removal.nodes]
    assert max(attempts) - min(attempts) <= 1


# Permissions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("AccessDeniedException", 400),
        ("UnrecognizedClientException", 403),
        ("InvalidClientTokenId", 403),
    ],
)
def test_permissions_and_credentials_that_spread_late_are_waited_for(
    world: World, operation: str, code: str, status: int
) -> None:
    nodes = world.nodes[:2]
    world.fail_for(20, operation, code, status=status)
    assert world.send("Create", NodeIds=nodes)["Data"]["RemovedNodes"] == ",".join(nodes)
    assert world.deletes < 10


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("why", [BY_ROLE, BY_POLICY, BY_BOUNDARY])
def test_why_a_call_was_denied_is_whole_in_the_log_and_at_the_end_of_the_reason(
    world: World, call: str, why: str
) -> None:
    message = (DENIED + why).format(call=call)
    world.hp.fail_while(call, lambda _: True, "AccessDeniedException", message=message, status=400)
    answer = world.send("Create", NodeIds=world.nodes[:1])
    reason = answer["Reason"]
    assert answer["Status"] == "FAILED"
    assert len(world.cluster.present) == 8
    assert any(message in logged for logged in world.log.messages)
    assert why.format(call=call)[-60:] in reason
    assert message in reason or "[...]" in reason
    is_role = why == BY_ROLE
    assert ("its role needs" in reason) is is_role
    assert (f"may not call {call}: its role needs sagemaker:{call}" in reason) is is_role
    is_delete = call == "BatchDeleteClusterNodes"
    assert ("eks:DescribeCluster" in reason) is (is_role and is_delete)


@pytest.mark.parametrize("why", [BY_ROLE, BY_POLICY])
def test_a_stack_that_must_not_be_looked_at_is_reported_with_why(world: World, why: str) -> None:
    message = (DENIED + why).replace("sagemaker:{call}", "cloudformation:DescribeStacks")
    world.cloudformation.show = lambda: ServiceError("AccessDenied", message, 403)
    reason = world.fails("Update", NodeIds=world.nodes[:1])
    assert "nothing was removed" in reason
    assert message[-60:] in reason
    assert ("its role needs cloudformation:DescribeStacks" in reason) is (why == BY_ROLE)
    assert ("its role needs" in reason) is (why == BY_ROLE)
    assert world.hp.calls.total() == 0
    assert world.cloudformation.calls > 1


@pytest.mark.parametrize("asks_hook", [True, False], ids=["the hook", "itself"])
def test_why_an_invocation_was_denied_is_reported_as_fully(world: World, asks_hook: bool) -> None:
    message = (DENIED + BY_POLICY).replace("sagemaker:{call}", "lambda:InvokeFunction")
    world.aws_lambda.hook_errors = [ServiceError("AccessDeniedException", message, 403)] * 99
    world.aws_lambda.errors = [ServiceError("AccessDeniedException", message, 403)] * 99
    node = world.nodes[0]
    world.cluster.refuse(node)
    hook = {"BeforeRemoval": HOOK} if asks_hook else {}
    reason = world.fails("Create", seconds=200.0, NodeIds=[node], **hook)
    assert BY_POLICY[-60:] in reason
    assert "[...]" in reason
    assert "its role needs" not in reason
    assert any(message in logged for logged in world.log.messages)
