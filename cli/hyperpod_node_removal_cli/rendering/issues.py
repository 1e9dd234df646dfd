"""What is wrong, one by one: what annotations and code quality reports are made of."""

from collections.abc import Iterator
from dataclasses import dataclass

from hyperpod_node_removal_cli.report import Findings, NodeReport, Place, Report


@dataclass(frozen=True)
class Issue:
    """One thing that is wrong."""

    check: str
    """A stable word for the kind of thing: a failure code, `guard`, `file`, `stack`, ..."""
    title: str
    text: str
    place: Place


def issues(findings: Findings) -> Iterator[Issue]:
    """Everything that is wrong, problems before nodes."""
    for report in findings.reports:
        for problem in report.problems:
            place = problem.place or Place(report.subject)
            yield Issue(
                findings.command, f"{findings.command}: {report.subject}", problem.text, place
            )
        for node in report.wrong_nodes:
            yield _of_node(node, report)


def _of_node(node: NodeReport, report: Report) -> Issue:
    return Issue(
        check=node.code or str(node.outcome),
        title=f"{node.name}: {node.outcome}",
        text=told(node),
        place=node.place or Place(report.subject),
    )


def told(node: NodeReport) -> str:
    """What is wrong with a node and what to do, in one line."""
    parts = (
        f"{node.name} of group {node.group}" if node.group else node.name,
        f"{node.outcome}: {node.code}" if node.code else str(node.outcome),
        node.message,
    )
    text = ": ".join(part.rstrip(".") for part in parts if part)
    return f"{text}. {node.next_step}" if node.next_step else f"{text}."
