"""A removal that has come to its end: what metrics and an event are made of."""

from collections.abc import Mapping
from dataclasses import dataclass

from hyperpod_node_removal_handler.contract import Outcome
from hyperpod_node_removal_handler.reason import LogPlace, code_of
from hyperpod_node_removal_handler.requested_node import RequestedNode
from hyperpod_node_removal_handler.result import Result, Tally


@dataclass(frozen=True, slots=True)
class FinishedRemoval:
    """A removal that could have removed nodes and has ended, well or not."""

    cluster: str
    """The cluster as the template names it: a name or an ARN."""
    outcome: Outcome
    status: str
    """What CloudFormation is told: `SUCCESS` or `FAILED`."""
    summary: str
    """The verdict, in a sentence."""
    result: Result
    tally: Tally
    log: LogPlace

    def failed_by_code(self) -> Mapping[str, list[RequestedNode]]:
        """The failed nodes by their code, in the order of the set."""
        groups: dict[str, list[RequestedNode]] = {}
        for node in self.tally.failed:
            groups.setdefault(code_of(node), []).append(node)
        return groups
