"""`explain`: how a stack's last operation ended, which nodes failed, why, and what to do next."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from hyperpod_node_removal_cli.connection import Connection, UnknownError
from hyperpod_node_removal_cli.function_log import LoggedRemoval, read_log, removals_in
from hyperpod_node_removal_cli.report import (
    Conclusion,
    NodeOutcome,
    NodeReport,
    Problem,
    Report,
    unknown,
)
from hyperpod_node_removal_cli.stack import LOG_GROUP, StackEvent, Stacks, StackState
from hyperpod_node_removal_contract import RESOURCE_TYPE, Attribute, Outcome, escape
from hyperpod_node_removal_contract.failure_codes import next_step, what_happened
from hyperpod_node_removal_handler.timing import Clock, SystemClock

_LOG_GROUP_OUTPUT: Final = "LogGroup"
"""The Output of the app's stack with the name of the log group."""
_LOG_PLACE: Final = re.compile(
    r"(?:Log group: ([\w./#-]+)\. )?CloudWatch Log Stream: ([\w/$\[\]-]+(?:\.{3})?)"
)
"""The location of the log in a Reason, whatever text CloudFormation puts around it."""
_ELLIPSIS: Final = "..."
_LAG: Final = 10
"""Seconds that DescribeStacks may lag behind the stack's events."""
_RESOURCES_MAX: Final = 100
"""Resources that DescribeStackResources returns at most."""


@dataclass(frozen=True)
class _Found:
    """What is known about one removal, or about an operation without one."""

    headline: str
    problems: tuple[Problem, ...] = ()
    nodes: tuple[NodeReport, ...] = ()
    notes: tuple[str, ...] = ()
    cluster: str = ""


def explain_stack(stack: str, connection: Connection, clock: Clock | None = None) -> Report:
    """Report on the last operation of a stack, by name or id.

    If DescribeStacks, with its Outputs, lags behind the stack's events, it is called again for up
    to `_LAG` seconds of `clock` (default: the system's).
    """
    try:
        with connection.explaining(f"stack '{escape(stack)}'"):
            stacks = Stacks(connection.client_for("cloudformation", stack))
            state = stacks.state(stack)
            events = stacks.last_operation(state.stack_id)
            for _ in range(_LAG):
                if state.with_end(events) is state:
                    break
                (clock or SystemClock()).sleep(1.0)
                state = stacks.state(state.stack_id)
            state = state.with_end(events)
        return _Explanation(connection, stacks, state, events).report(stack)
    except UnknownError as error:
        return unknown(stack, str(error))


def place_in_file(report: Report, file: str, lines: Mapping[str, int]) -> Report:
    """Return the same report, with the lines of the nodes in a removal file."""
    return replace(
        report,
        nodes=tuple(replace(node, file=file, line=lines.get(node.name)) for node in report.nodes),
        problems=tuple(replace(problem, file=problem.file or file) for problem in report.problems),
    )


@dataclass(frozen=True)
class _Explanation:
    """The report on one operation, with what it reads for it."""

    connection: Connection
    stacks: Stacks
    state: StackState
    events: tuple[StackEvent, ...]

    @property
    def removals(self) -> list[StackEvent]:
        """The events of the removals."""
        return [event for event in self.events if event.is_removal]

    def report(self, subject: str) -> Report:
        state = self.state
        failed = [event for event in self.events if event.is_failure]
        is_unexplained = not failed and not any(event.is_reason_of_stack for event in self.events)
        notes = [_nested(event) for event in failed if event.is_nested_stack]
        others_failed = "The removal did not fail, but other resources did."
        if not self.removals and not state.is_in_progress and self._has_no_removal():
            if is_unexplained:
                return replace(unknown(subject, self._no_removal()), stack=state.report())
            # The failure may be the reason that there is no removal.
            others_failed = "Resources of the stack failed."
            notes.append(f"The stack has no removal (a {RESOURCE_TYPE} resource) yet.")
        attributes: dict[str, str] = {}
        if failed:
            found = [self._failed_removal(event) for event in failed if event.is_removal]
        elif state.is_in_progress:
            found = [_Found("The operation is in progress. Nothing has failed so far.")]
        elif state.has_failed or (self.events and self.events[-1].is_reason_of_stack):
            # A success has no reason. A deletion that was refused ends in the status before it.
            found = [self._failed_as_a_whole()]
        else:
            known = frozenset(map(str, Attribute))
            attributes = {key: value for key, value in state.outputs.items() if key in known}
            found = [self._succeeded(attributes)]
        others = tuple(Problem(event.text) for event in failed if not event.is_removal)
        nodes = tuple(node for one in found for node in one.nodes)
        problems = tuple(problem for one in found for problem in one.problems) + others
        headlines = dict.fromkeys(one.headline for one in found)
        return Report(
            subject=subject,
            conclusion=Conclusion.PROBLEMS if nodes or problems else Conclusion.FINE,
            headline=" ".join(headlines) or others_failed,
            cluster=next((one.cluster for one in found if one.cluster), ""),
            problems=problems,
            nodes=nodes,
            notes=tuple(dict.fromkeys((*(note for one in found for note in one.notes), *notes))),
            stack=state.report(),
            attributes=attributes,
        )

    def _no_removal(self) -> str:
        if self.state.is_under_review:
            return "Nothing was deployed: no change set of the stack has been executed."
        return (
            f"The stack has no removal (a {RESOURCE_TYPE} resource); specify the stack that"
            " declares it, by its ARN if it was deleted or is nested."
        )

    def _has_no_removal(self) -> bool:
        """Whether the stack certainly has no removal: False without permission to list."""
        try:
            with self.connection.explaining("the stack"):
                resources = self.stacks.resources(self.state.stack_id)
        except UnknownError:
            return False
        return len(resources) < _RESOURCES_MAX and RESOURCE_TYPE not in dict(resources)

    def _failed_removal(self, event: StackEvent) -> _Found:
        found, why_not = self._read_log(
            lambda one: one.logical_id in {"", event.logical_id} and one.summary in event.reason,
            event.reason,
        )
        if not found:
            note = f"The failed nodes are not listed here. {why_not}"
            headline = f"The removal {event.logical_id} failed."
            return _Found(headline, (Problem(event.text),), notes=(note,))
        logged = found[-1]
        return _Found(
            headline=logged.summary,
            problems=() if logged.failures else (Problem(event.text),),
            nodes=_nodes(logged),
            cluster=next((fields.get("cluster", "") for fields in logged.failures), ""),
        )

    def _failed_as_a_whole(self) -> _Found:
        """Explain an operation in which no resource failed: its own reason, or a cancellation."""
        own = tuple(Problem(event.text) for event in self.events if event.is_reason_of_stack)
        if own:
            return _Found("The operation failed as a whole; no single resource failed.", own)
        if self.state.is_deleted:
            return _Found("The stack was deleted, which does not change the cluster.")
        text = "The operation was canceled: it was rolled back, but no resource failed."
        return _Found(text, (Problem(text),))

    def _succeeded(self, attributes: Mapping[str, str]) -> _Found:
        if Attribute.OUTCOME not in attributes:
            return self._succeeded_without_outputs()
        found = _Found(
            _outcome_sentence(attributes),
            notes=(
                *_template_notes(attributes),
                *filter(None, [attributes.get(Attribute.WARNINGS)]),
            ),
            cluster=attributes.get(Attribute.CLUSTER_NAME, ""),
        )
        failed = attributes.get(Attribute.FAILED_NODES, "")
        if attributes[Attribute.OUTCOME] != Outcome.PARTIAL or not failed:
            return found
        named = [name for name in failed.split(",") if not name.startswith("+")]
        logged, why_not = self._read_log(
            lambda one: set(named) <= {fields["node"] for fields in one.failures}
        )
        if logged:
            return replace(found, nodes=_nodes(logged[-1]))
        return replace(
            found,
            nodes=tuple(NodeReport(name=name, outcome=NodeOutcome.FAILED) for name in named),
            notes=(*found.notes, f"Why the nodes failed is not shown here. {why_not}"),
        )

    def _succeeded_without_outputs(self) -> _Found:
        logged, why_not = self._read_log(lambda _: True)
        if logged:
            headline = " ".join(f"{one.outcome}: {one.summary}" for one in logged)
            return _Found(headline, nodes=tuple(node for one in logged for node in _nodes(one)))
        if verdicts := [event for event in self.events if event.verdict]:
            return _Found(
                " ".join(f"{event.verdict}." for event in verdicts),
                tuple(Problem(event.text) for event in verdicts if " not " in event.verdict),
                notes=(f"This comes from the stack's events. {why_not}",),
            )
        note = f"The stack has no Output for the attribute {Attribute.OUTCOME}. {why_not}"
        return _Found("Nothing failed.", notes=(note,))

    def _read_log(
        self, is_wanted: Callable[[LoggedRemoval], bool], reason: str = ""
    ) -> tuple[tuple[LoggedRemoval, ...], str]:
        """Return the last outcome of each wanted removal in the log, or why there is none.

        The log may be that of the removals of other stacks, too.
        """
        if not self.removals:
            return (), "The last operation did not involve the removal."
        places = [place for place in _LOG_PLACE.findall(reason) if _ELLIPSIS not in "".join(place)]
        group, stream = places[-1] if places else ("", "")
        try:
            with self.connection.explaining(f"log group {group or 'of the function'}"):
                groups = [group] if group else self._log_groups()
                client = self.connection.client_for("logs", self.state.stack_id)
                for name in groups:
                    lines = read_log(client, name, self.removals[0].time, stream=stream)
                    found = {
                        one.logical_id: one
                        for one in removals_in(lines)
                        if one.stack_id in {"", self.state.stack_id} and is_wanted(one)
                    }
                    if found:
                        return tuple(found.values()), ""
        except UnknownError as error:
            return (), str(error)
        if not groups:
            return (), "The function's log group is unknown."
        return (), "The function's log has no lines about them yet."

    def _log_groups(self) -> list[str]:
        if output := self.state.outputs.get(_LOG_GROUP_OUTPUT):
            return [output]
        resources = self.stacks.resources(self.state.stack_id)
        return [name for kind, name in resources if kind == LOG_GROUP and name]


def _nested(event: StackEvent) -> str:
    stack = event.physical_id
    return f"Why the nested stack failed: hyperpod-node-removal explain {stack}" if stack else ""


def _nodes(logged: LoggedRemoval) -> tuple[NodeReport, ...]:
    return tuple(
        NodeReport(
            name=fields["node"],
            outcome=NodeOutcome.FAILED,
            group=fields.get("group", ""),
            status=fields.get("status", ""),
            code=fields["code"],
            message=fields.get("why") or what_happened(fields["code"]),
            next_step=next_step(fields["code"]),
        )
        for fields in logged.failures
    )


def _outcome_sentence(attributes: Mapping[str, str]) -> str:
    """Return the outcome and the counts, as a sentence."""
    counts = (
        (Attribute.REMOVED_COUNT, "removed"),
        (Attribute.ACCEPTED_COUNT, "still leaving"),
        (Attribute.PLANNED_COUNT, "planned, none removed"),
        (Attribute.ALREADY_ABSENT_COUNT, "already absent"),
        (Attribute.FAILED_COUNT, "not removed"),
    )
    shown = [
        f"{attributes[count]} {what}"
        for count, what in counts
        if attributes.get(count, "0") not in {"0", ""}
    ]
    cluster = attributes.get(Attribute.CLUSTER_NAME, "")
    where = f" in {cluster}" if cluster else ""
    return f"{attributes[Attribute.OUTCOME]}: {', '.join(shown) or 'no nodes'}{where}."


def _template_notes(attributes: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence with the counts for the cluster's template, if they are known."""
    try:
        counts = json.loads(attributes.get(Attribute.INSTANCE_GROUP_TARGET_COUNTS) or "{}")
    except ValueError:
        return ()
    if not isinstance(counts, dict) or not counts:
        return ()
    shown = ", ".join(f"{escape(str(group))}: {count}" for group, count in counts.items())
    return (f"Counts for the cluster's template (InstanceCount): {shown}.",)
