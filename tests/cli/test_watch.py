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
from tests.cli.aws_on_paper import LOG, NAME, START, Paper, denied, failures, replied
from tests.cli.command import Command, CommandProcess
from tests.cli.test_rendering import has_no_commands, hostile
from tests.contract.lifecycle import Removal
from tests.handler.world import VirtualClock

HEAD = "1 of 2 nodes not removed from ml-cluster (1 removed)."
REASON = f"{HEAD} NodeIdInUse: i-00000001.{LOG}"


@dataclass
class Story:
    """What happens from one look to the next."""

    paper: Paper
    steps: list[Callable[[], object]] = field(default_factory=list)
    shown: list[Progress] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.paper.before_each_look = lambda: self.steps.pop(0)() if self.steps else None

    def watch(self, *, wait: float = 0.0) -> Report:
        return watch_stack(
            NAME,
            self.paper.connection,
            clock=VirtualClock(),
            show=self.shown.append,
            every=5,
            wait=wait,
        )

    @property
    def texts(self) -> list[str]:
        return [progress.text for progress in self.shown]


def begun() -> Paper:
    paper = Paper()
    paper.happen("UPDATE_IN_PROGRESS")
    paper.remove("UPDATE_IN_PROGRESS")
    return paper


def test_events_and_rounds_as_they_come_and_then_the_explanation() -> None:
    paper = begun()

    def fail() -> None:
        failures(paper, ["i-00000001"], HEAD)
        paper.remove("UPDATE_FAILED", replied(REASON))
        paper.happen("UPDATE_ROLLBACK_IN_PROGRESS")

    story = Story(
        paper,
        [
            lambda: None,
            lambda: paper.write("Round: removed 0, leaving 2", removed=0),
            lambda: paper.write("Round: removed 1, leaving 1", removed=1),
            fail,
            lambda: paper.happen("UPDATE_ROLLBACK_COMPLETE"),
        ],
    )
    report = story.watch()
    assert story.texts == [
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


def test_the_verdict_of_a_success_is_shown_as_it_comes() -> None:
    paper = begun()

    def succeed() -> None:
        paper.remove("UPDATE_COMPLETE")
        condition = ("CREATE_IN_PROGRESS", "Verdict1", "AWS::CloudFormation::WaitCondition")
        paper.happen(*condition)
        paper.happen(*condition, "Received SUCCESS signal with UniqueId 2 of 2 removed")
        paper.happen("UPDATE_COMPLETE")

    story = Story(paper, [lambda: None, succeed])
    assert story.watch().conclusion is Conclusion.FINE
    assert "2 of 2 removed" in story.texts
    assert not any("Verdict1" in text for text in story.texts)


def test_a_stack_that_fails_as_a_whole_says_why_at_once() -> None:
    """Public: aws-cloudformation/aws-cloudformation-templates #263. No resource has an event."""
    paper = Paper(resources={})
    paper.happen("CREATE_IN_PROGRESS", why="User Initiated")
    why = "No export named production:ECSTaskExecutionRole found. Rollback requested by user."
    story = Story(
        paper,
        [
            lambda: None,
            lambda: paper.happen("ROLLBACK_IN_PROGRESS", why=why),
            lambda: paper.happen("ROLLBACK_COMPLETE"),
        ],
    )
    report = story.watch()
    assert report.conclusion is Conclusion.PROBLEMS
    assert story.texts == [
        "CREATE_IN_PROGRESS maintenance (AWS::CloudFormation::Stack)",
        f"ROLLBACK_IN_PROGRESS maintenance (AWS::CloudFormation::Stack): {why}",
        "ROLLBACK_COMPLETE maintenance (AWS::CloudFormation::Stack)",
    ]


def test_nothing_under_way_explains_what_was_last() -> None:
    paper = begun()
    paper.happen("UPDATE_COMPLETE")
    story = Story(paper)
    assert story.watch().conclusion is Conclusion.FINE
    assert story.shown == []


MISSING = client_error("DescribeStacks", "ValidationError", f"Stack {NAME} does not exist")


def test_a_stack_that_is_yet_to_be_made_is_waited_for() -> None:
    paper = Paper(errors={"DescribeStacks": MISSING})

    def begin() -> None:
        paper.errors.clear()
        paper.happen("CREATE_IN_PROGRESS")

    story = Story(paper, [lambda: None, begin, lambda: paper.happen("CREATE_COMPLETE")])
    assert story.watch(wait=60).conclusion is Conclusion.FINE
    assert len(story.shown) == 2


def test_an_operation_that_does_not_begin_in_time_is_2() -> None:
    paper = begun()
    paper.happen("UPDATE_COMPLETE")
    report = Story(paper).watch(wait=60)
    assert report.conclusion is Conclusion.UNKNOWN
    assert report.headline == "No operation on the stack started within 60 s."


def test_throttling_is_waited_out() -> None:
    paper = begun()

    def throttle() -> None:
        paper.errors["DescribeStackEvents"] = client_error("DescribeStackEvents", "Throttling")

    story = Story(
        paper,
        [throttle, lambda: None, paper.errors.clear, lambda: paper.happen("UPDATE_COMPLETE")],
    )
    assert story.watch().conclusion is Conclusion.FINE
    assert len(story.shown) == 3


@pytest.mark.parametrize(
    ("error", "words", "calls"),
    [
        (MISSING, "was not found in region us-east-1", 1),
        (client_error("DescribeStackEvents", "ExpiredToken"), "have expired", 1),
        (client_error("DescribeStackEvents", "Throttling"), "Throttling", 11),
    ],
    ids=["no such stack", "expired credentials", "throttled without end"],
)
def test_what_cannot_be_watched_is_2(error: ClientError, words: str, calls: int) -> None:
    paper = begun()
    paper.errors[error.operation_name] = error
    report = Story(paper).watch()
    assert report.conclusion is Conclusion.UNKNOWN
    assert words in report.headline
    assert paper.calls.count(error.operation_name) == calls


def test_a_log_that_may_not_be_read_is_reported_once() -> None:
    paper = begun()
    paper.errors["FilterLogEvents"] = denied("FilterLogEvents")
    story = Story(paper, [lambda: None, lambda: None, lambda: paper.happen("UPDATE_COMPLETE")])
    assert story.watch().conclusion is Conclusion.FINE
    (shown,) = [text for text in story.texts if "logs:FilterLogEvents" in text]
    assert shown.startswith(
        "The progress of the function is not shown. logs:FilterLogEvents is required"
    )


@given(hostile)
def test_no_progress_is_a_command(text: str) -> None:
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
