"""`watch`: what is shown while a stack is deployed, and at its end."""

import io
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from hypothesis import given

from hyperpod_node_removal_cli.report import Conclusion, Report
from hyperpod_node_removal_cli.terminal import progress_on
from hyperpod_node_removal_cli.watch import Progress, watch_stack
from sandbox.hyperpod.client import client_error
from tests.cli.command import Command, CommandProcess
from tests.cli.fake_aws import LOG, NAME, START, FakeAws, denied, failures, replied
from tests.cli.test_rendering import has_no_commands, hostile
from tests.contract.lifecycle import Removal
from tests.handler.world import VirtualClock

HEAD = "1 of 2 nodes not removed from ml-cluster (1 removed)."
REASON = f"{HEAD} NodeIdInUse: i-00000001.{LOG}"


@dataclass
class Scenario:
    """What happens between the polls of a stack, and the progress that is shown."""

    aws: FakeAws
    steps: list[Callable[[], object]] = field(default_factory=list)
    shown: list[Progress] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.aws.before_each_describe = lambda: self.steps.pop(0)() if self.steps else None

    def watch(self, *, wait: float = 0.0) -> Report:
        return watch_stack(
            NAME,
            self.aws.connection,
            clock=VirtualClock(),
            show=self.shown.append,
            every=5,
            wait=wait,
        )

    @property
    def texts(self) -> list[str]:
        return [progress.text for progress in self.shown]


def in_progress() -> FakeAws:
    aws = FakeAws()
    aws.add_event("UPDATE_IN_PROGRESS")
    aws.add_removal_event("UPDATE_IN_PROGRESS")
    return aws


def test_events_and_rounds_are_shown_and_then_the_explanation() -> None:
    aws = in_progress()

    def fail() -> None:
        failures(aws, ["i-00000001"], HEAD)
        aws.add_removal_event("UPDATE_FAILED", replied(REASON))
        aws.add_event("UPDATE_ROLLBACK_IN_PROGRESS")

    scenario = Scenario(
        aws,
        [
            lambda: None,
            lambda: aws.log_line("Round: removed 0, leaving 2", removed=0),
            lambda: aws.log_line("Round: removed 1, leaving 1", removed=1),
            fail,
            lambda: aws.add_event("UPDATE_ROLLBACK_COMPLETE"),
        ],
    )
    report = scenario.watch()
    assert scenario.texts == [
        "UPDATE_IN_PROGRESS maintenance (AWS::CloudFormation::Stack)",
        "UPDATE_IN_PROGRESS Removal (Custom::HyperPodNodeRemoval)",
        "Round: removed 0, leaving 2",
        "Round: removed 1, leaving 1",
        f"UPDATE_FAILED Removal (Custom::HyperPodNodeRemoval): {replied(REASON)}",
        "UPDATE_ROLLBACK_IN_PROGRESS maintenance (AWS::CloudFormation::Stack)",
        "UPDATE_ROLLBACK_COMPLETE maintenance (AWS::CloudFormation::Stack)",
    ]
    assert report.conclusion is Conclusion.PROBLEMS
    assert report.headline == HEAD
    assert [node.name for node in report.nodes] == ["i-00000001"]


def test_the_verdict_of_a_success_is_shown() -> None:
    aws = in_progress()

    def succeed() -> None:
        aws.add_removal_event("UPDATE_COMPLETE")
        condition = ("CREATE_IN_PROGRESS", "Verdict1", "AWS::CloudFormation::WaitCondition")
        aws.add_event(*condition)
        aws.add_event(*condition, "Received SUCCESS signal with UniqueId 2 of 2 removed")
        aws.add_event("UPDATE_COMPLETE")

    scenario = Scenario(aws, [lambda: None, succeed])
    assert scenario.watch().conclusion is Conclusion.FINE
    assert "2 of 2 removed" in scenario.texts
    assert not any("Verdict1" in text for text in scenario.texts)


def test_the_reason_of_a_stack_that_fails_as_a_whole_is_shown() -> None:
    """Public: aws-cloudformation/aws-cloudformation-templates #263. No resource has an event."""
    aws = FakeAws(resources={})
    aws.add_event("CREATE_IN_PROGRESS", why="User Initiated")
    why = "No export named production:ECSTaskExecutionRole found. Rollback requested by user."
    scenario = Scenario(
        aws,
        [
            lambda: None,
            lambda: aws.add_event("ROLLBACK_IN_PROGRESS", why=why),
            lambda: aws.add_event("ROLLBACK_COMPLETE"),
        ],
    )
    report = scenario.watch()
    assert report.conclusion is Conclusion.PROBLEMS
    assert scenario.texts == [
        "CREATE_IN_PROGRESS maintenance (AWS::CloudFormation::Stack)",
        f"ROLLBACK_IN_PROGRESS maintenance (AWS::CloudFormation::Stack): {why}",
        "ROLLBACK_COMPLETE maintenance (AWS::CloudFormation::Stack)",
    ]


def test_without_an_operation_in_progress_the_last_one_is_explained() -> None:
    aws = in_progress()
    aws.add_event("UPDATE_COMPLETE")
    scenario = Scenario(aws)
    assert scenario.watch().conclusion is Conclusion.FINE
    assert scenario.shown == []


MISSING = client_error("DescribeStacks", "ValidationError", f"Stack {NAME} does not exist")


def test_watch_waits_for_a_stack_that_does_not_exist_yet() -> None:
    aws = FakeAws(errors={"DescribeStacks": MISSING})

    def begin() -> None:
        aws.errors.clear()
        aws.add_event("CREATE_IN_PROGRESS")

    scenario = Scenario(aws, [lambda: None, begin, lambda: aws.add_event("CREATE_COMPLETE")])
    assert scenario.watch(wait=60).conclusion is Conclusion.FINE
    assert len(scenario.shown) == 2


def test_an_operation_that_ends_between_two_polls_is_explained() -> None:
    aws = in_progress()
    aws.add_event("UPDATE_COMPLETE")

    def deploy() -> None:
        aws.add_event("UPDATE_IN_PROGRESS")
        aws.add_removal_event("UPDATE_FAILED", "No response.")
        aws.add_event("UPDATE_ROLLBACK_COMPLETE")

    scenario = Scenario(aws, [lambda: None, deploy])
    assert scenario.watch(wait=60).conclusion is Conclusion.PROBLEMS
    assert len(scenario.shown) == 3


def test_an_operation_that_does_not_begin_in_time_is_2() -> None:
    aws = in_progress()
    aws.add_event("UPDATE_COMPLETE")
    report = Scenario(aws).watch(wait=60)
    assert report.conclusion is Conclusion.UNKNOWN
    assert report.headline == "No operation on the stack started within 60 s."


def test_throttled_calls_are_retried() -> None:
    aws = in_progress()

    def throttle() -> None:
        aws.errors["DescribeStackEvents"] = client_error("DescribeStackEvents", "Throttling")

    scenario = Scenario(
        aws,
        [throttle, lambda: None, aws.errors.clear, lambda: aws.add_event("UPDATE_COMPLETE")],
    )
    assert scenario.watch().conclusion is Conclusion.FINE
    assert len(scenario.shown) == 3


@pytest.mark.parametrize(
    ("error", "words", "calls"),
    [
        (MISSING, "was not found in region us-east-1", 1),
        (client_error("DescribeStackEvents", "ExpiredToken"), "have expired", 1),
        (client_error("DescribeStackEvents", "Throttling"), "Throttling", 11),
    ],
    ids=["no such stack", "expired credentials", "throttled without end"],
)
def test_an_error_that_persists_is_2(error: ClientError, words: str, calls: int) -> None:
    aws = in_progress()
    aws.errors[error.operation_name] = error
    report = Scenario(aws).watch()
    assert report.conclusion is Conclusion.UNKNOWN
    assert words in report.headline
    assert aws.calls.count(error.operation_name) == calls


def test_a_log_without_permission_is_reported_once() -> None:
    aws = in_progress()
    aws.errors["FilterLogEvents"] = denied("FilterLogEvents")
    scenario = Scenario(aws, [lambda: None, lambda: None, lambda: aws.add_event("UPDATE_COMPLETE")])
    assert scenario.watch().conclusion is Conclusion.FINE
    (shown,) = [text for text in scenario.texts if "logs:FilterLogEvents" in text]
    assert shown.startswith(
        "The progress of the function is not shown. logs:FilterLogEvents is required"
    )


@given(hostile)
def test_progress_contains_no_commands(text: str) -> None:
    for is_terminal in (False, True):
        stream = io.StringIO()
        stream.isatty = lambda: is_terminal  # type: ignore[method-assign] # noqa: B023
        with progress_on(stream) as show:
            show(Progress(START, text))
            show(Progress(START, text, is_round=True))
        assert has_no_commands(stream.getvalue())


@pytest.mark.parametrize(
    "arguments", [["--every", "0"], ["--wait", "-1"], ["--wait", "soon"], ["--every", "nan"]]
)
def test_times_out_of_range_are_2(tmp_path: Path, arguments: list[str]) -> None:
    done = Command(tmp_path)("watch", NAME, *arguments)
    assert done.code == 2
    assert "to 86400 seconds" in done.err


def test_a_deployment_in_the_sandbox(removal: Removal, tmp_path: Path) -> None:
    command = CommandProcess(tmp_path, removal.sandbox.environment)
    cluster = removal.cluster()
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    done = []
    watching = threading.Thread(
        target=lambda: done.append(
            command("watch", removal.name, "--wait=100", "--every=0.2", "--json")
        )
    )
    watching.start()
    removal.deploy(bad, good)
    watching.join()
    (watched,) = done
    assert watched.code == 1
    assert [node["name"] for node in watched.report()["nodes"]] == [bad]
    lines = [line.partition(" ")[2] for line in watched.err.splitlines()]
    assert lines[0] == f"CREATE_IN_PROGRESS {removal.name} (AWS::CloudFormation::Stack)"
    assert lines[-1] == f"ROLLBACK_COMPLETE {removal.name} (AWS::CloudFormation::Stack)"
    assert any(line.startswith("CREATE_FAILED Nodes") and bad in line for line in lines)
    assert any(line.startswith("Round: ") for line in lines)
