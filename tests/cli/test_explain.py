"""`explain` of stacks in the sandbox, and of operations that the sandbox cannot perform."""

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from hyperpod_node_removal_cli.explain import explain_stack
from hyperpod_node_removal_cli.report import Conclusion, Report
from hyperpod_node_removal_cli.stack import STATUSES
from hyperpod_node_removal_contract import RESOURCE_TYPE
from sandbox.hyperpod.client import client_error
from tests.cli.command import Command
from tests.cli.fake_aws import LOG, NAME, STACK, STACK_ID, FakeAws, denied, failures, replied
from tests.contract.lifecycle import Removal
from tests.handler.world import VirtualClock

ABSENT = "i-0123456789abcdef0"


# In the sandbox ------------------------------------------------------------------------------


def test_a_partial_failure_and_its_rollback(removal: Removal, command: Command) -> None:
    cluster = removal.cluster()
    in_use, patched, good, *_ = cluster.node_ids("workers")
    cluster.refuse(in_use, "NodeIdInUse", "Another operation is under way.")
    cluster.set_node_status(patched, "SystemUpdating")
    assert removal.deploy(in_use, patched, good).status == "ROLLBACK_COMPLETE"
    command.write(f"cluster: {cluster.name}\nnode_ids:\n- {in_use}\n- {patched}\n- {good}\n")

    done = command(
        "explain",
        removal.name,
        "--file=removals.yaml",
        "--annotations=github",
        "--junit=junit.xml",
    )
    assert done.code == 1, done.out
    assert done.out.startswith(
        f"{removal.name}: 2 of 3 nodes not removed from {cluster.name} (1 removed).\n"
    )
    rows = [line.split() for line in done.out.splitlines() if line.strip().startswith("i-")]
    assert [row[:5] for row in rows] == [
        [in_use, "workers", "Running", "failed", "NodeIdInUse"],
        [patched, "workers", "SystemUpdating", "failed", "InvalidNodeStatus"],
    ]
    assert "Another operation is under" in done.out
    assert f"Stack {removal.name} is ROLLBACK_COMPLETE: its creation failed and was" in done.out
    assert [line.split("::")[1].split(",title")[0] for line in done.err.splitlines()] == [
        "error file=removals.yaml,line=3",
        "error file=removals.yaml,line=4",
    ]
    root = ET.parse(command.folder / "junit.xml").getroot()
    assert root[0].attrib["failures"] == "2"

    cluster.allow(in_use)
    cluster.set_node_status(patched, "Running")
    assert removal.deploy(in_use, patched, good).status == "CREATE_COMPLETE"
    done = command("explain", removal.name)
    assert done.code == 0, done.out
    assert "COMPLETE: 2 removed, 1 already absent in" in done.out


def test_a_success_that_reports_failures(removal: Removal, command: Command) -> None:
    cluster = removal.cluster()
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    deployed = removal.deploy(bad, good, OnPartialFailure="REPORT")
    assert deployed.status == "CREATE_COMPLETE"
    done = command("explain", removal.name, "--json")
    assert done.code == 1
    report = done.report()
    assert report["headline"] == f"PARTIAL: 1 removed, 1 not removed in {cluster.name}."
    (node,) = report["nodes"]
    assert (node["name"], node["code"], node["group"]) == (bad, "NodeIdInUse", "workers")
    assert report["attributes"]["FailedNodes"] == bad
    assert report["stack"]["status"] == "CREATE_COMPLETE"


def test_a_broken_guard_and_the_rollback_of_an_update(removal: Removal, command: Command) -> None:
    cluster = removal.cluster()
    nodes = cluster.node_ids("workers")
    removal.deploy(nodes[0])
    failed = removal.deploy(*nodes[1:7], properties={"MinRemaining": {"workers": 4}})
    assert failed.status == "UPDATE_ROLLBACK_COMPLETE"
    done = command("explain", removal.name, "--json")
    assert done.code == 1
    report = done.report()
    assert report["headline"] == (
        f"Nothing was removed from {cluster.name}: removing 6 of 7 nodes of group workers leaves 1,"
        " fewer than 4 (MinRemaining)."
    )
    assert [node["name"] for node in report["nodes"]] == list(nodes[1:7])
    assert {(node["code"], node["next_step"]) for node in report["nodes"]} == {
        ("Guarded", "Change the set, or the guard, in the template.")
    }


def test_no_such_cluster_and_no_such_stack(removal: Removal, command: Command) -> None:
    removal.deploy(ABSENT)
    done = command("explain", removal.name)
    assert done.code == 1
    assert f"Cluster '{removal.name}' was not found" in done.out
    done = command("explain", f"not-{removal.name}")
    assert done.code == 2
    assert f"Stack 'not-{removal.name}' was not found in region us-east-1" in done.out


# With set responses --------------------------------------------------------------------------


HEAD = "3 of 4 nodes not removed from ml-cluster (1 removed)."
REASON = f'{HEAD} NodeIdInUse: i-00000001, +2 more. NodeIdInUse: "busy".{LOG}'
NODES = ("i-00000001", "i-00000002", "i-00000003")
CLEAN_UP = "AWS::CloudFormation::CustomResource"


COMPLETE = {"Outcome": "COMPLETE", "ClusterName": "ml-cluster"}


def explain(aws: FakeAws) -> Report:
    return explain_stack(NAME, aws.connection)


def own(status: str, why: str) -> tuple[str, ...]:
    """An event of the stack itself, with a reason."""
    return (status, NAME, STACK, why, STACK_ID)


def after(*events: str | tuple[str, ...], **more: Any) -> FakeAws:
    """A stack with these events: its own, the removal's with reasons, and others in full."""
    aws = FakeAws(**more)
    for event in events:
        if isinstance(event, str):
            aws.add_event(event)
        elif len(event) == 2:
            aws.add_removal_event(*event)
        else:
            aws.add_event(*event)
    return aws


@pytest.mark.parametrize("calls", [2, 1000])
def test_the_end_of_an_operation_that_is_not_visible_yet_comes_from_the_events(calls: int) -> None:
    """DescribeStacks is eventually consistent (aws-cdk-cli #1803)."""
    aws = after("CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE")
    ended, aws.status = aws.status, "CREATE_IN_PROGRESS"

    def catch_up() -> None:
        if len(aws.calls) > calls:
            aws.status = ended

    aws.before_each_describe = catch_up
    clock = VirtualClock()
    report = explain_stack(NAME, aws.connection, clock)
    assert report.stack
    assert report.stack.status == "ROLLBACK_COMPLETE"
    assert report.conclusion is Conclusion.PROBLEMS
    assert clock.now() - VirtualClock().now() <= 10


def failed(reason: str, status: str = "UPDATE_ROLLBACK_COMPLETE") -> FakeAws:
    """An update whose removal failed and that was rolled back."""
    failure = ("UPDATE_FAILED", reason)
    return after("UPDATE_IN_PROGRESS", failure, "UPDATE_ROLLBACK_IN_PROGRESS", status)


def names(report: Report) -> list[str]:
    return [node.name for node in report.nodes]


def test_only_the_last_operation_counts() -> None:
    aws = failed(replied(REASON))
    assert explain(aws).conclusion is Conclusion.PROBLEMS
    aws.add_event("UPDATE_IN_PROGRESS")
    aws.add_event("UPDATE_COMPLETE")
    aws.calls.clear()
    report = explain(aws)
    assert report.conclusion is Conclusion.FINE
    assert aws.calls.count("DescribeStackEvents") == 2, "a page for each event since it began"


def test_a_rollback_that_is_continued_belongs_to_the_operation() -> None:
    aws = failed(replied(REASON), "UPDATE_ROLLBACK_FAILED")
    failures(aws, NODES, HEAD)
    report = explain(aws)
    assert report.stack
    assert f"continue-update-rollback --stack-name {NAME}" in report.stack.next_step
    aws.add_event("UPDATE_ROLLBACK_IN_PROGRESS")
    aws.add_event("UPDATE_ROLLBACK_COMPLETE")
    assert names(explain(aws)) == list(NODES)


@pytest.mark.parametrize(
    "frame",
    [
        "Received response status [FAILED] from custom resource. Message returned: {} (Id: 6)",
        "Failed to create resource. {}",
        "Something new, {{by CloudFormation}}: {}; and more",
    ],
)
def test_nodes_come_from_the_log_of_the_right_invocation_for_any_wording(frame: str) -> None:
    aws = failed(frame.format(REASON))
    other = "3 of 4 nodes not removed from other-cluster (1 removed)."
    failures(aws, ["i-0000000a"], other, request="1")
    failures(aws, NODES, HEAD, request="2")
    failures(aws, ["i-0000000b"], other, request="3")
    report = explain(aws)
    assert report.headline == HEAD
    assert report.cluster == "ml-cluster"
    assert names(report) == list(NODES)
    assert {(node.message, node.group, node.status) for node in report.nodes} == {
        ("busy", "workers", "Running")
    }
    assert (report.notes, report.problems) == ((), ())


@pytest.mark.parametrize(
    ("aws", "why"),
    [
        (
            FakeAws(errors={"FilterLogEvents": denied("FilterLogEvents")}),
            "logs:FilterLogEvents is required but not allowed.",
        ),
        (
            FakeAws(errors={"FilterLogEvents": client_error("FilterLogEvents", "ExpiredToken")}),
            "The AWS credentials have expired;",
        ),
        (FakeAws(), "The function's log has no lines about them yet."),
    ],
)
def test_without_the_log_the_reason_is_shown_as_it_is(aws: FakeAws, why: str) -> None:
    aws.events = failed(replied(REASON)).events
    report = explain(aws)
    assert report.conclusion is Conclusion.PROBLEMS
    assert report.headline == "The removal Removal failed."
    assert [problem.text for problem in report.problems] == [
        f"Removal ({RESOURCE_TYPE}): UPDATE_FAILED: {replied(REASON)}"
    ]
    (note,) = report.notes
    assert note.startswith(f"The failed nodes are not listed here. {why}")
    assert report.nodes == ()


def test_a_reason_without_nodes_is_shown_as_it_is() -> None:
    sentence = "Cluster 'ml-cluster' was not found (ResourceNotFound); check its name or ARN."
    aws = failed(replied(f"{sentence}{LOG}"))
    aws.log_line(f"FAILED: {sentence}")
    report = explain(aws)
    assert (report.headline, report.notes) == (sentence, ())
    assert replied(f"{sentence}{LOG}") in report.problems[0].text


BUCKET = ("Bucket", "AWS::S3::Bucket")
NO_REPLY = "CloudFormation did not receive a response from your Custom Resource."
TRANSFORM = "Transform AWS::Serverless-2016-10-31 failed with: Invalid template."
IN_USE = "Export MaintenanceToken cannot be deleted as it is in use by fleet"
NO_ROLE = "Role arn:aws:iam::1:role/exec is invalid or cannot be assumed"
CANCELED = "The operation was canceled: it was rolled back, but no resource failed."
AS_A_WHOLE = "The operation failed as a whole; no single resource failed."


@pytest.mark.parametrize(
    ("aws", "headline", "problem"),
    [
        pytest.param(
            failed(NO_REPLY),
            "The removal Removal failed.",
            f"Removal ({RESOURCE_TYPE}): UPDATE_FAILED: {NO_REPLY}",
            id="no response of the function",
        ),
        pytest.param(
            after(
                "CREATE_IN_PROGRESS",
                ("CREATE_FAILED", *BUCKET, "It exists.", "bucket"),
                ("CREATE_FAILED", "Resource creation cancelled"),
                "ROLLBACK_FAILED",
            ),
            "The removal did not fail, but other resources did.",
            "Bucket (AWS::S3::Bucket): CREATE_FAILED: It exists.",
            id="another resource",
        ),
        pytest.param(
            after(
                "UPDATE_IN_PROGRESS",
                "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
                ("DELETE_FAILED", "Removal", CLEAN_UP, "No reply.", "hyperpod-node-removal/m/R/6"),
                "UPDATE_COMPLETE",
            ),
            "The removal Removal failed.",
            f"Removal ({CLEAN_UP}): DELETE_FAILED: No reply.",
            id="the cleanup of the removal",
        ),
        pytest.param(
            after(
                "CREATE_IN_PROGRESS",
                own("ROLLBACK_IN_PROGRESS", TRANSFORM),
                "ROLLBACK_COMPLETE",
            ),
            AS_A_WHOLE,
            f"{NAME} ({STACK}): ROLLBACK_IN_PROGRESS: {TRANSFORM}",
            id="the stack as a whole",
        ),
        pytest.param(
            after(  # CancelUpdateStack. CloudFormation's own reason for it is no failure.
                "UPDATE_IN_PROGRESS",
                own("UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated"),
                "UPDATE_ROLLBACK_COMPLETE",
            ),
            CANCELED,
            CANCELED,
            id="canceled by a user",
        ),
        pytest.param(
            after(
                "UPDATE_IN_PROGRESS",
                ("UPDATE_FAILED", "Resource update cancelled"),
                "UPDATE_ROLLBACK_COMPLETE",
                outputs=COMPLETE,
            ),
            CANCELED,
            CANCELED,
            id="canceled with outputs of a success",
        ),
        pytest.param(
            after(  # It goes back to the status that it had.
                "CREATE_IN_PROGRESS",
                ("CREATE_COMPLETE", ""),
                "CREATE_COMPLETE",
                own("DELETE_IN_PROGRESS", "User Initiated"),
                own("CREATE_COMPLETE", IN_USE),
                outputs=COMPLETE,
            ),
            AS_A_WHOLE,
            f"{NAME} ({STACK}): CREATE_COMPLETE: {IN_USE}",
            id="a refused deletion",
        ),
        *(  # Public: aws-samples/aws-lex-web-ui #718, aws/aws-cdk #10116, convox/rack #2142.
            pytest.param(
                after("UPDATE_IN_PROGRESS", own(status, why)),
                AS_A_WHOLE,
                f"{NAME} ({STACK}): {status}: {why}",
                id=f"{status} as a whole",
            )
            for status, why in (
                ("ROLLBACK_FAILED", NO_ROLE),
                ("DELETE_FAILED", NO_ROLE),
                ("UPDATE_ROLLBACK_FAILED", "The following resource(s) failed to update: [F]. "),
            )
        ),
    ],
)
def test_a_failure_other_than_of_nodes_is_the_only_problem(
    aws: FakeAws, headline: str, problem: str
) -> None:
    report = explain(aws)
    assert report.conclusion is Conclusion.PROBLEMS
    assert report.headline == headline
    assert [one.text for one in report.problems] == [problem]
    assert report.attributes == {}


NO_EXPORT = "No export named -SubnetAPublic found. Rollback requested by user."
FAILED_TO_CREATE = (
    "The following resource(s) failed to create: [Role]. . Rollback requested by user."
)
TOKEN = "The security token included in the request is invalid (Service: AmazonIdentityManagement)"


@pytest.mark.parametrize(
    ("failures", "why"),
    [
        ([own("ROLLBACK_IN_PROGRESS", NO_EXPORT)], NO_EXPORT),
        (
            [
                ("CREATE_FAILED", "Role", "AWS::IAM::Role", TOKEN, ""),
                own("ROLLBACK_IN_PROGRESS", FAILED_TO_CREATE),
            ],
            TOKEN,
        ),
    ],
    ids=["the stack as a whole", "a single resource"],
)
def test_a_creation_that_failed_before_the_removal_began_is_explained(
    failures: list[tuple[str, ...]], why: str
) -> None:
    """Public: widdix/aws-s3-virusscan #39, jenseickmeyer/github-commit-status-bot #3."""
    beginning = ("REVIEW_IN_PROGRESS", "CREATE_IN_PROGRESS")
    report = explain(after(*beginning, *failures, "ROLLBACK_COMPLETE", resources={}))
    assert report.conclusion is Conclusion.PROBLEMS
    (problem,) = report.problems
    assert problem.text.endswith(why)
    assert report.notes == (f"The stack has no removal (a {RESOURCE_TYPE} resource) yet.",)


def test_a_nested_stack_that_failed_is_named() -> None:
    """Public: aws-amplify/amplify-js #6367."""
    nested = "arn:aws:cloudformation:eu-central-1:1:stack/main-Removals-1Q6D/a6158660"
    why = f"Embedded stack {nested} was not successfully updated."
    aws = after("UPDATE_IN_PROGRESS", resources={STACK: nested})
    aws.add_event("UPDATE_FAILED", "Removals", STACK, why, nested)
    aws.add_event("UPDATE_ROLLBACK_IN_PROGRESS", why="The following resource(s) failed to update:")
    aws.add_event("UPDATE_ROLLBACK_COMPLETE")
    report = explain(aws)
    assert report.conclusion is Conclusion.PROBLEMS
    assert [problem.text for problem in report.problems] == [
        f"Removals ({STACK}): UPDATE_FAILED: {why}"
    ]
    assert f"Why the nested stack failed: hyperpod-node-removal explain {nested}" in report.notes


def test_the_reason_of_a_cloudformation_hook_is_shown() -> None:
    """Public: aws/aws-cdk #21674. The failure of the resource only names the hook."""
    aws = after("CREATE_IN_PROGRESS")
    for mode, said in (("WARN", "Tag it."), ("FAIL", "Encrypt it.")):
        aws.add_event("CREATE_IN_PROGRESS", "Bucket", "AWS::S3::Bucket", "", "")
        aws.events[-1] |= {
            "HookType": "Team::Rules::Hook",
            "HookStatus": "HOOK_COMPLETE_FAILED",
            "HookStatusReason": said,
            "HookFailureMode": mode,
        }
    failed = "The following hook(s) failed: [Team::Rules::Hook]"
    aws.add_event("CREATE_FAILED", "Bucket", "AWS::S3::Bucket", failed, "")
    aws.add_event("ROLLBACK_COMPLETE")
    assert [problem.text for problem in explain(aws).problems] == [
        "Bucket (AWS::S3::Bucket): HOOK_COMPLETE_FAILED: Team::Rules::Hook: Encrypt it.",
        f"Bucket (AWS::S3::Bucket): CREATE_FAILED: {failed}",
    ]


def test_a_stack_whose_first_change_set_failed_shows_where_the_reason_is() -> None:
    """Public: aws/aws-cdk-cli #1000, early validation. The stack's events do not have it."""
    report = explain(after("REVIEW_IN_PROGRESS", resources={}))
    assert report.conclusion is Conclusion.UNKNOWN
    assert report.headline.startswith("Nothing was deployed")
    assert report.stack
    assert f"describe-events --stack-name {NAME}" in report.stack.next_step


def test_a_stack_that_was_deleted() -> None:
    aws = failed(replied(REASON))
    aws.outputs = COMPLETE
    aws.add_event("DELETE_IN_PROGRESS", why="User Initiated")
    aws.add_removal_event("DELETE_COMPLETE")
    aws.add_event("DELETE_COMPLETE")
    report = explain(aws)
    assert report.conclusion is Conclusion.FINE
    assert report.headline == "The stack was deleted, which does not change the cluster."


def test_a_stack_that_was_deleted_because_its_creation_failed() -> None:
    aws = after("CREATE_IN_PROGRESS", ("CREATE_FAILED", replied(REASON)))
    aws.add_event(
        "DELETE_IN_PROGRESS", why="The following resource(s) failed to create: [Removal]."
    )
    aws.add_removal_event("DELETE_COMPLETE")
    aws.add_event("DELETE_COMPLETE")
    failures(aws, NODES, HEAD)
    report = explain(aws)
    assert report.conclusion is Conclusion.PROBLEMS
    assert names(report) == list(NODES)


def test_a_stack_without_a_removal_is_2() -> None:
    bucket = {"AWS::S3::Bucket": "bucket"}
    report = explain(after("CREATE_IN_PROGRESS", "CREATE_COMPLETE", resources=bucket))
    assert report.conclusion is Conclusion.UNKNOWN
    assert report.headline.startswith(f"The stack has no removal (a {RESOURCE_TYPE} resource);")


PARTIAL = {
    "Outcome": "PARTIAL",
    "ClusterName": "ml-cluster",
    "RemovedCount": "1",
    "FailedCount": "3",
    "FailedNodes": "i-00000001,+2 more",
    "InstanceGroupTargetCounts": '{"workers": 7}',
}


def reported(**outputs: str) -> FakeAws:
    removed = ("UPDATE_COMPLETE", "")
    return after("UPDATE_IN_PROGRESS", removed, "UPDATE_COMPLETE", outputs=outputs)


def test_a_success_is_found_with_any_names_of_outputs() -> None:
    aws = reported(RemovalFaultyNodesOutcome="PARTIAL")
    failures(aws, NODES, HEAD)
    report = explain(aws)
    assert report.conclusion is Conclusion.PROBLEMS
    assert report.headline == f"PARTIAL: {HEAD}"
    assert names(report) == list(NODES)


def test_removals_of_other_stacks_with_the_same_function_are_ignored() -> None:
    aws = reported()
    aws.log_line("COMPLETE: 2 nodes removed.", stack_id=STACK_ID, logical_id="Removal")
    aws.log_line(f"FAILED: {HEAD}", request="2", stack_id=f"{STACK_ID}-other", logical_id="Removal")
    report = explain(aws)
    assert report.conclusion is Conclusion.FINE
    assert report.headline == "COMPLETE: 2 nodes removed."


def test_each_removal_of_a_stack_is_explained() -> None:
    aws = reported()
    for number, (logical_id, outcome) in enumerate({"A": "PARTIAL", "B": "COMPLETE"}.items()):
        whose = {"request": str(number), "stack_id": STACK_ID, "logical_id": logical_id}
        if outcome == "PARTIAL":
            aws.log_line("i-1: not removed", node="i-1", code="NodeIdInUse", **whose)
        aws.log_line(f"{outcome}: {logical_id}.", **whose)
    report = explain(aws)
    assert report.conclusion is Conclusion.PROBLEMS
    assert report.headline == "PARTIAL: A. COMPLETE: B."
    assert names(report) == ["i-1"]


VERDICT = "1 of 2 not removed: NodeIdInUse i-00000001"


@pytest.mark.parametrize(
    ("signal", "headline", "conclusion"),
    [
        (VERDICT, f"{VERDICT}.", Conclusion.PROBLEMS),
        ("2 of 2 removed", "2 of 2 removed.", Conclusion.FINE),
        ("i-0123456789abcdef0", "Nothing failed.", Conclusion.FINE),  # of another condition
        (None, "Nothing failed.", Conclusion.FINE),
    ],
)
def test_without_outputs_and_log_a_success_is_in_the_events_if_signaled(
    signal: str | None, headline: str, conclusion: Conclusion
) -> None:
    aws = after("UPDATE_IN_PROGRESS", ("UPDATE_COMPLETE", ""))
    if signal:
        aws.add_event(
            *("CREATE_IN_PROGRESS", "Verdict1", "AWS::CloudFormation::WaitCondition"),
            f"Received SUCCESS signal with UniqueId {signal}",
        )
    aws.add_event("UPDATE_COMPLETE")
    aws.errors["FilterLogEvents"] = denied("FilterLogEvents")
    report = explain(aws)
    assert (report.conclusion, report.headline) == (conclusion, headline)
    assert any(str(signal) in problem.text for problem in report.problems) == (signal == VERDICT)
    if headline == "Nothing failed.":
        assert "no Output for the attribute Outcome" in report.notes[0]


def test_nodes_that_do_not_fit_an_output_come_from_the_log() -> None:
    aws = reported(**PARTIAL)
    failures(aws, NODES, HEAD)
    report = explain(aws)
    assert names(report) == list(NODES)
    assert report.notes == ("Counts for the cluster's template (InstanceCount): workers: 7.",)


def test_failed_nodes_are_shown_without_access_to_the_log() -> None:
    aws = reported(**PARTIAL)
    aws.errors["FilterLogEvents"] = denied("FilterLogEvents")
    report = explain(aws)
    assert report.conclusion is Conclusion.PROBLEMS
    assert names(report) == ["i-00000001"]
    assert "logs:FilterLogEvents is required but not allowed" in report.notes[-1]


@pytest.mark.parametrize("operation", ["DescribeStacks", "DescribeStackEvents"])
def test_a_missing_permission_is_2_with_its_action(operation: str) -> None:
    aws = reported(**PARTIAL)
    aws.errors[operation] = denied(operation)
    report = explain(aws)
    assert report.conclusion is Conclusion.UNKNOWN
    assert f"cloudformation:{operation} is required but not allowed." in report.headline


@pytest.mark.parametrize("status", [*STATUSES, "UPDATE_IN_PROGRESS", "NEW_STATUS"])
def test_every_status_of_a_stack_has_a_meaning(status: str) -> None:
    aws = after("UPDATE_IN_PROGRESS")
    aws.status = status
    report = explain(aws)
    assert report.stack
    assert report.stack.stack_id == STACK_ID
    assert report.stack.meaning
    assert "{" not in report.stack.next_step
    assert (report.conclusion is Conclusion.FINE) == (
        not status.endswith("FAILED") and "ROLLBACK" not in status
    )
