"""Observing the cluster during a removal, with few calls however large the cluster is.

A listing takes a call for each 100 nodes of the cluster. But as long as one node of the removal is
still there, the removal continues. So while nodes leave, one of them, the witness, is described,
and the nodes are listed only when no described node is there any more: presence is proof, and
absence is decided by a listing.
"""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from hyperpod_node_removal_contract import MAX_IDS_PER_REQUEST
from hyperpod_node_removal_handler import aws, timing
from hyperpod_node_removal_handler.cluster import Cluster, ClusterDescription, Listing, Node
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode
from hyperpod_node_removal_handler.stack import StackWatch

T = TypeVar("T")

_THROTTLED_LOOKS: Final = 3
"""Looks in a row with a throttled description before the nodes are listed instead."""

_SAMPLE: Final = 4
"""Nodes that are described if more are leaving than a listing has pages: if none of them is there,
few are likely to be, and a listing is worthwhile."""


class ClusterWatch:
    """Looks at one cluster and polls the stack, at a rate that the service allows."""

    def __init__(
        self, cluster: Cluster, stack: StackWatch, clock: timing.Clock, deadlines: timing.Deadlines
    ) -> None:
        self.listed_at = -math.inf
        """When the nodes were listed, in seconds of the clock."""
        self._cluster = cluster
        self._stack = stack
        self._clock = clock
        self._deadlines = deadlines
        self._pages = 0
        self._may_describe = True
        self._spacing = 0.0
        self._throttled_looks = 0
        self._called_at = -math.inf
        self._witness = ""
        """The node that was present when one was last described."""
        self._missed: set[str] = set()
        self._doubted: set[str] = set()
        """Nodes that a listing showed although a description had not."""

    def describe(self) -> ClusterDescription:
        """Describe the cluster."""
        return self._call(self._cluster.describe)

    def list_nodes(self) -> Listing:
        """List the nodes. A page that is refused is retried by itself."""
        listing = self._cluster.nodes(self._call)
        self._pages, self.listed_at = listing.pages, self._clock.now()
        return listing

    def look(self, removal: Removal, *, is_due: bool = True) -> Removal:
        """Return the removal as its nodes look now. Raises `aws.AwsError` if that is not known.

        `is_due`: whether waiting nodes are to be requested, or given up, after this look.
        """
        removal, is_enough = self._look_at_few(removal, is_due=is_due)
        if is_enough:
            return removal
        removal = removal.observe(self.list_nodes())
        self._doubted |= {
            one.name for one in removal.nodes if one.name in self._missed and not one.misses
        }
        self._missed.clear()
        return removal

    def pause(self, passed: float) -> float:
        """Return the pause before the next look, `passed` seconds after the first request."""
        pause = timing.POLL_FIRST + timing.POLL_SHARE * max(0.0, passed)
        return timing.jittered(min(timing.POLL_MAX, pause))

    def with_hostnames(self, nodes: Iterable[Node], deadline: float) -> tuple[Node, ...]:
        """Return the nodes with the host names that a listing lacks, where they can be found.

        According to AWS, only DescribeClusterNode returns `PrivateDnsHostname`. It is called for
        `timing.HOSTNAMES`, which leaves most of the time until `deadline` to the hook.
        """
        most, share = timing.HOSTNAMES
        now = self._clock.now()
        until = now + min(most, share * (deadline - now))
        named = list(nodes)
        with suppress(aws.AwsError):
            for index, node in enumerate(named):
                if not node.private_dns_hostname:
                    named[index] = self._with_hostname(node, until)
        return tuple(named)

    # Few nodes -------------------------------------------------------------------------------

    def _look_at_few(self, removal: Removal, *, is_due: bool) -> tuple[Removal, bool]:
        """Describe nodes if that is cheaper than a listing. Returns whether it was enough."""
        waiting = removal.by_phase[Phase.WAITING] if is_due else ()
        leaving = removal.by_phase[Phase.LEAVING]
        if not self._may_look_at_few(removal, waiting):
            return removal, False
        witnesses = [one for one in leaving if one.name not in self._doubted]
        most = self._pages if len(witnesses) <= self._pages else min(_SAMPLE, self._pages)
        are_seen, are_there = False, True
        try:
            for one in waiting:
                # Their next request depends on it, so it is worth a retry.
                until = self._clock.now() + timing.DESCRIPTION
                node = self._retried(partial(self._described, one), until)
                removal = removal.describe(one, node)
                are_there = are_there and node is not None
            are_seen = True
            if not (are_there and leaving):
                return removal, are_there and bool(waiting)
            for one in self._likely_first(witnesses)[:most]:
                self.await_turn()
                node = self._described(one)
                removal = removal.describe(one, node)
                self._throttled_looks = 0
                if node:
                    self._witness = one.name
                    return removal, True
        except aws.ThrottledError:
            self._throttled_looks += 1
            if are_seen and self._throttled_looks < _THROTTLED_LOOKS:
                return removal, True  # The next look is later, and a listing may fare no better.
            self._throttled_looks, self._spacing = 0, 0.0  # Each operation may have its own rate.
        except aws.AwsError:
            pass  # A listing decides.
        return removal, False

    def _likely_first(self, leaving: list[RequestedNode]) -> list[RequestedNode]:
        """Return those most likely to be there: the last witness, then those of the last request.

        A node with a logical id is picked at random, since it may have a new instance by now.
        """
        last_request = leaving[-MAX_IDS_PER_REQUEST:]
        random.shuffle(last_request)
        return sorted(
            last_request, key=lambda one: bool(one.logical_id) or one.name != self._witness
        )

    def _may_look_at_few(self, removal: Removal, waiting: Sequence[RequestedNode]) -> bool:
        now = self._clock.now()
        age = now - self.listed_at
        return (
            self._may_describe
            and now < self._deadlines.deadline - timing.LAST_LISTINGS
            and 1 < self._pages >= len(waiting)
            and age < timing.LISTING_EVERY * max(1.0, self._pages / timing.LISTING_PAGES)
            and not any(one.name in self._doubted for one in waiting)
            and not any(one.is_unsettled_look and not one.misses for one in removal.nodes)
        )

    def _described(self, requested: RequestedNode) -> Node | None:
        self._stack.poll()
        # As in a listing, a logical id is of whatever instance the node has now.
        instance_id = "" if requested.logical_id else requested.node_id
        node = self._node(instance_id, requested.logical_id)
        if node is None:
            self._missed.add(requested.name)
        return node

    def _with_hostname(self, node: Node, until: float) -> Node:
        if not self._may_describe or self._clock.now() >= until:
            return node
        found = self._retried(partial(self._node, node.instance_id, node.logical_id), until)
        return replace(node, private_dns_hostname=found.private_dns_hostname) if found else node

    def _node(self, instance_id: str, logical_id: str) -> Node | None:
        try:
            return self.granted(partial(self._cluster.node, instance_id, logical_id))
        except aws.AccessDeniedError:
            self._may_describe = False  # The role was created before this permission was needed.
            raise

    # Calls -----------------------------------------------------------------------------------

    def await_turn(self) -> None:
        """Wait until SageMaker is likely to allow another call."""
        due_at = self._called_at + timing.jittered(self._spacing)
        self._stack.sleep(min(due_at, self._deadlines.end) - self._clock.now())

    def granted(self, call: Callable[[], T]) -> T:
        """Make a call, and adapt the spacing of calls to whether it is throttled."""
        self._called_at = self._clock.now()
        try:
            answer = call()
        except aws.ThrottledError:
            least, most = timing.SPACING
            self._spacing = min(most, max(least, 2 * self._spacing))
            raise
        self._spacing *= timing.SPACING_DECAY
        return answer

    def _call(self, call: Callable[[], T]) -> T:
        until = self._clock.now() + self._deadlines.outage
        return self._retried(partial(self.granted, call), until, self._deadlines.denied_until)

    def _retried(self, call: Callable[[], T], until: float, denied_until: float = -math.inf) -> T:
        def attempt() -> T:
            self.await_turn()
            return call()

        return timing.call_with_retry(
            attempt,
            clock=self._clock,
            until=min(self._deadlines.end, until),
            denied_until=denied_until,
            sleep=self._stack.sleep,
        )
