"""What AWS's documentation leaves open."""

from dataclasses import dataclass
from typing import Literal


@dataclass
class Rules:
    """How the service behaves where it is not documented. Tests set it to try each possibility."""

    busy_code: str = "ConflictException"
    """Error of a delete request to a cluster that is being changed; or `ValidationException`."""
    all_failed_code: str = "ValidationException"
    """Error of a delete request in which every node fails validation."""
    all_failed_message: str | None = None
    """Its message; None for one that lists the nodes and their codes."""
    gone_node: Literal["ResourceNotFound", "ValidationException", "NotFound"] = "ResourceNotFound"
    """What DescribeClusterNode says of a node that is gone: one of two errors, or an answer with
    the status NotFound. Public scripts meet all three."""
    empty_instance_groups: bool = True
    """Whether InstanceGroups is an empty list where every group is restricted; else it is missing,
    although the service model calls it required."""
    repeats_next_token: bool = False
    """Whether each page of a listing gives the NextToken of its first page, for ever."""
    never_stops_paging: bool = False
    """Whether each page gives a new NextToken, for ever: behind the last node pages are empty."""
