"""`explain`: what came of a stack's last operation, which nodes failed, why, and what to do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from hyperpod_node_removal_cli.connection import Connection, UnknownError
from hyperpod_node_removal_cli.failure_codes import next_step, what_happened
from hyperpod_node_removal_cli.function_log import (
    FunctionLog,
    LoggedFailure,
    failures,
    latest_failures,
)
from hyperpod_node_removal_cli.outputs import attributes_in, template_note, told
from hyperpod_node_removal_cli.reason_text import Reason, from_event, read_reason
from hyperpod_node_removal_cli.report import (
    Conclusion,
    NodeOutcome,
    NodeReport,
    Place,
    Problem,
    Report,
    unknown,
)
from hyperpod_node_removal_cli.stack_events import StackEvent, Stacks, StackState
from hyperpod_node_removal_cli.stack_states import stack_report
from hyperpod_node_removal_handler.contract import Attribute, Outcome, printable

_LOG_GROUP_OUTPUT: Final = "LogGroup"
"""The Output of the app's stack that names the log group."""
_NO_OUTPUTS: Final = (
    "The stack has no Output of the attribute Outcome, so what came of the removal is in its log"
    " only."
)


@dataclass(frozen=True)
class _Found:
    """What is known of the nodes of one removal."""

    headline: str
    problems: tuple[Problem, ...] = ()
    nodes: tuple[NodeReport, ...] = ()
    notes: tuple[str, ...] = ()
    cluster: str = ""


def explained(stack: str, connection: Connection) -> Report:
    """The report on the last operation of a stack, by name or id."""
    try:
        with connection.explaining(f"stack '{printable(stack)}'"):
            stacks = Stacks(connection.client_for("cloudformation", stack))
            state = stacks.state(stack)
            events = stacks.last_operation(state.stack_id)
        explanation = _Explanation(connection, stacks, state, events)
        return explanation.report(stack)
    except UnknownError as error:
        return unknown(stack, str(error))


def placed(report: Report, file: str, lines: Mapping[str, int]) -> Report:
    """The same report, with the nodes where a removal file names them."""
    return replace(
        report,
        nodes=tuple(
            replace(node, place=Place(file, lines.get(node.name))) for node in report.nodes
        ),
        problems=tuple(
            replace(problem, place=problem.place or Place(file)) for problem in report.problems
        ),
    )


class _Explanation:
    """Reads what is needed of one operation."""

    def __init__(
        self,
        connection: Connection,
        stacks: Stacks,
        state: StackState,
        events: tuple[StackEvent, ...],
    ) -> None:
        self._connection = connection
        self._stacks = stacks
        self._state = state
        self._events = events
        self._began = events[0].time if events else None

    def report(self, subject: str) -> Report:
        failed = [event for event in self._events if event.is_failure]
        removals = [event for event in failed if event.is_removal]
        found = [self._failed_removal(event) for event in removals]
        if not failed:
            found = [self._undone() if self._state.is_undone else self._outputs()]
        others = tuple(
            Problem(f"{event.logical_id} ({event.resource_type}): {event.status}: {event.reason}")
            for event in failed
            if not event.is_removal
        )
        nodes = tuple(node for one in found for node in one.nodes)
        problems = tuple(problem for one in found for problem in one.problems) + others
        if found:
            headline = " ".join(one.headline for one in found)
        else:
            headline = "The operation failed for another reason than the removal of nodes."
        attributes = {} if failed or self._state.is_undone else attributes_in(self._state.outputs)
        return Report(
            subject=subject,
            conclusion=Conclusion.PROBLEMS if nodes or problems else Conclusion.FINE,
            headline=headline,
            cluster=next((one.cluster for one in found if one.cluster), ""),
            problems=problems,
            nodes=nodes,
            notes=tuple(dict.fromkeys(note for one in found for note in one.notes)),
            stack=stack_report(self._state),
            attributes=attributes,
        )

    # A removal that failed -------------------------------------------------------------------

    def _failed_removal(self, event: StackEvent) -> _Found:
        text = from_event(event.reason)
        if text is None:  # CloudFormation's own words: no reply, for example
            problem = f"{event.logical_id}: {event.status}: {event.reason}"
            return _Found("The removal failed without a word on its nodes.", (Problem(problem),))
        reason = read_reason(text)
        logged, why_not = self._log_of(reason)
        notes = []
        if not logged and reason.failed and not reason.is_complete:
            notes.append(_missing(reason, why_not))
        return _Found(
            headline=reason.head,
            problems=() if reason.groups else (Problem(reason.head),),
            nodes=_from_log(logged) if logged else tuple(_from_reason(reason)),
            notes=tuple(notes),
            cluster=reason.cluster,
        )

    def _log_of(self, reason: Reason) -> tuple[tuple[LoggedFailure, ...], str]:
        """The failed nodes as the log has them, or none and why."""
        log = reason.log
        if not (log.group and log.stream and self._began):
            return (), "the reason does not say where the log is"
        try:
            with self._connection.explaining(f"log stream {log.stream} of {log.group}"):
                client = FunctionLog(self._connection.client_for("logs", self._state.stack_id))
                records = client.stream(log.group, log.stream, self._began)
                return failures(records, reason.head), "it has no lines on them"
        except UnknownError as error:
            return (), str(error)

    def _undone(self) -> _Found:
        """An operation that came to nothing without a failure: it was cancelled, or a deletion."""
        if self._state.status.startswith("DELETE_"):
            return _Found("The stack was deleted; the cluster was not touched by that.")
        text = "The operation was rolled back, and no resource failed by itself: it was cancelled."
        return _Found(text, (Problem(text),))

    # A removal that succeeded ----------------------------------------------------------------

    def _outputs(self) -> _Found:
        attributes = attributes_in(self._state.outputs)
        outcome = attributes.get(Attribute.OUTCOME)
        if self._state.is_in_progress:
            return _Found("The operation is under way, and nothing has failed so far.")
        if outcome is None:
            return _Found(
                "Nothing failed.",
                notes=(_NO_OUTPUTS,),
            )
        notes = template_note(attributes)
        if warnings := attributes.get(Attribute.WARNINGS):
            notes += (warnings,)
        cluster = attributes.get(Attribute.CLUSTER_NAME, "")
        found = _Found(told(attributes), notes=notes, cluster=cluster)
        failed = attributes.get(Attribute.FAILED_NODES, "")
        if outcome != Outcome.PARTIAL or not failed:
            return found
        logged, why_not = self._search_log()
        named = tuple(name for name in failed.split(",") if not name.startswith("+"))
        by_name = {failure.node: failure for failure in logged}
        if set(named) <= by_name.keys():
            return replace(found, nodes=_from_log(logged))
        return replace(
            found,
            nodes=tuple(_failed(name) for name in named),
            notes=(
                *notes,
                f"The codes of the failed nodes are in the function's log only: {why_not}.",
            ),
        )

    def _search_log(self) -> tuple[tuple[LoggedFailure, ...], str]:
        """The failed nodes as the log has them, or none and why."""
        began = [event.time for event in self._events if event.is_removal]
        if not began:
            return (), "the last operation did not touch the removal"
        try:
            with self._connection.explaining("the function's log group"):
                output = self._state.outputs.get(_LOG_GROUP_OUTPUT)
                groups = (output,) if output else self._stacks.log_groups(self._state.stack_id)
                log = FunctionLog(self._connection.client_for("logs", self._state.stack_id))
                for group in groups:
                    found = latest_failures(log.search(group, "not removed", began[0]))
                    if found:
                        return found, ""
        except UnknownError as error:
            return (), str(error).rstrip(".")
        return (), "no log group of the stack has lines on them"


def _from_log(logged: Iterable[LoggedFailure]) -> tuple[NodeReport, ...]:
    return tuple(
        replace(
            _failed(failure.node, failure.code, failure.why),
            group=failure.group,
            status=failure.status,
        )
        for failure in logged
    )


def _from_reason(reason: Reason) -> Iterable[NodeReport]:
    for group in reason.groups:
        for name in group.nodes:
            yield _failed(name, group.code, reason.messages.get(group.code, ""))


def _failed(name: str, code: str = "", message: str = "") -> NodeReport:
    return NodeReport(
        name=name,
        outcome=NodeOutcome.FAILED,
        code=code,
        message=message or what_happened(code),
        next_step=next_step(code) if code else "",
    )


def _missing(reason: Reason, why_not: str) -> str:
    named = sum(len(group.nodes) for group in reason.groups)
    return (
        f"{named} of {reason.failed} failed nodes are named: the reason was cut, and the function's"
        f" log could not be read: {why_not}."
    )
