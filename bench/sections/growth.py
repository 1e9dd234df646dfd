"""How all of it grows with the set, and which limit is met first."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from aws_cdk import App, Stack
from aws_cdk.assertions import Template

from bench.runs import OURS
from bench.scene import CLUSTER, STACK_ID, Case, Scene
from bench.sections.removals import fewest_deletes, pages
from bench.telling import Chapter, Verdict, table
from hyperpod_node_removal import NodeRemoval
from hyperpod_node_removal_handler.cluster import DeleteReply, Listing, Node, Refusal
from hyperpod_node_removal_handler.contract import MAX_NODES
from hyperpod_node_removal_handler.handover import Continuation
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.request import RemovalRequest
from hyperpod_node_removal_handler.stack import Operation
from sandbox.stacks import TEMPLATE_BODY_MAX

SIZES: Final = (10, 100, 1000, 3000, 10_000)
LEAVES_WITHIN: Final = 60.0
TEMPLATE_MAX: Final = 1_000_000
"""Bytes of a template in S3 (CloudFormation quotas)."""
_OPERATION_ID: Final = "0d4c4f8a-3f9b-4a7c-9a41-5a6f0f5d1e11"
PAYLOAD_MAX: Final = 256 * 1024
"""Bytes of an asynchronous invocation that every region has had (docs/assumptions.md)."""


@dataclass(frozen=True)
class Growth:
    """A set of so many nodes, in as many resources as it takes."""

    nodes: int
    resources: int
    seconds: float
    """To the answer of the last resource; each comes after the one before."""
    deletes: int
    lists: int
    template_bytes: int
    event_bytes: int
    """Of the request of the largest resource, as an Update carries it: with the old properties."""
    handover_bytes: int
    """Of the event that hands the largest resource over to a fresh invocation."""


def measure(sizes: tuple[int, ...] = SIZES) -> list[Growth]:
    """A row for each size."""
    return [_growth(size) for size in sizes]


def _growth(nodes: int) -> Growth:
    parts = _parts(nodes)
    told = [
        OURS.run(Case(part, LEAVES_WITHIN, beside=sum(parts[number + 1 :])))
        for number, part in enumerate(parts)
    ]
    return Growth(
        nodes=nodes,
        resources=len(parts),
        seconds=round(sum(one.seconds for one in told), 1),
        deletes=sum(one.calls["BatchDeleteClusterNodes"] for one in told),
        lists=sum(one.calls["ListClusterNodes"] for one in told),
        template_bytes=_template_bytes(parts),
        event_bytes=_event_bytes(max(parts)),
        handover_bytes=_handover_bytes(max(parts)),
    )


def _parts(nodes: int) -> list[int]:
    """How many of the nodes each resource has."""
    return [min(MAX_NODES, nodes - start) for start in range(0, nodes, MAX_NODES)]


def _template_bytes(parts: list[int]) -> int:
    app = App(analytics_reporting=False)
    stack = Stack(app, "Stack")
    for number, part in enumerate(parts):
        NodeRemoval(
            stack,
            f"Removal{number}",
            cluster_arn="arn:aws:sagemaker:us-east-1:111122223333:cluster/a1b2c3d4e5f6",
            node_ids=[f"i-{number:03x}{index:014x}" for index in range(part)],
        )
    # Written without spaces, as the CDK CLI does for what does not fit into a request.
    return len(json.dumps(Template.from_stack(stack).to_json(), separators=(",", ":")))


def _event_bytes(nodes: int) -> int:
    event = Scene(Case(nodes)).event()
    event["OldResourceProperties"] = event["ResourceProperties"]
    return len(json.dumps(event))


def _handover_bytes(nodes: int) -> int:
    """Of a removal of which every node was asked for and every fifteenth was refused."""
    ids = tuple(f"i-{(index * 2654435761) % 16**17:017x}" for index in range(nodes))
    refusal = Refusal("NodeIdInUse", "Another operation is under way on the node.")
    refused = dict.fromkeys(ids[::15], refusal)
    reply = DeleteReply(accepted=frozenset(ids) - refused.keys(), refused=refused)
    listing = Listing(tuple(Node(node_id, "", "workers", "Running") for node_id in ids))
    removal = Removal.of(ids, []).observe(listing)
    for request in removal.requests():
        removal = removal.send(request).answer(request, reply)
    started = 1_763_900_000.0
    text = Continuation(
        request=RemovalRequest(cluster=CLUSTER, node_ids=ids),
        removal=removal,
        started=started,
        invocation=2,
        target_counts_before={"workers": nodes},
        operation=Operation("UPDATE_STACK", (_OPERATION_ID,), started),
        approved_at=started,
    ).to_text()
    return len(text) + len(STACK_ID) + 800  # the envelope: ids, and a presigned URL


def chapter(found: list[Growth]) -> Chapter:
    """Section 8."""
    of = {row.nodes: row for row in found}
    largest = of[max(of)]
    per_node = (of[1000].template_bytes - of[100].template_bytes) / 900
    body_at = int((TEMPLATE_BODY_MAX - of[100].template_bytes) / per_node) + 100
    file_at = int((TEMPLATE_MAX - largest.template_bytes) / per_node) + largest.nodes
    event_per_node = (of[3000].event_bytes - of[1000].event_bytes) / 2000
    event_at = int((PAYLOAD_MAX - of[3000].event_bytes) / event_per_node) + 3000
    return Chapter(
        title="Growth",
        what=(
            f"Sets of growing size, nodes that leave within {LEAVES_WITHIN:g} s, virtual time as in"
            f" section 1. A resource holds {MAX_NODES:,} nodes, so 10,000 take four, one after the other"
            " (each depends on the one before, as is sensible where they are of one cluster). Sizes are"
            " measured: the synthesized template without white space, the request of an Update with"
            " its old properties, the event of a hand-over with every fifteenth node refused."
        ),
        verdicts=[
            Verdict(
                "deletes stay ceil(n / 99) for each resource (no other goal was set)",
                all(row.deletes == _fewest(row) for row in found),
                f"{largest.deletes} for {largest.nodes:,} nodes",
            ),
            Verdict(
                "nothing that the resource allows meets a limit of AWS",
                of[3000].event_bytes < PAYLOAD_MAX and of[3000].handover_bytes < PAYLOAD_MAX,
                f"at {MAX_NODES:,} nodes: event {of[3000].event_bytes:,}, hand-over"
                f" {of[3000].handover_bytes:,} of {PAYLOAD_MAX:,} bytes",
            ),
        ],
        tables=[
            table(
                [
                    "nodes",
                    "resources",
                    "seconds",
                    "deletes",
                    "lists",
                    "pages of the first listing",
                    "template, bytes",
                    "event, bytes",
                    "hand-over, bytes",
                ],
                (
                    [
                        f"{row.nodes:,}",
                        row.resources,
                        f"{row.seconds:.0f}",
                        row.deletes,
                        f"{row.lists:,}",
                        pages(
                            Case(min(row.nodes, MAX_NODES), beside=max(0, row.nodes - MAX_NODES))
                        ),
                        f"{row.template_bytes:,}",
                        f"{row.event_bytes:,}",
                        f"{row.handover_bytes:,}",
                    ]
                    for row in found
                ),
            ),
            "Limits in the order in which they are met:\n\n" + _limits(body_at, event_at, file_at),
        ],
        data=[asdict(row) for row in found],
        plots=["growth"],
    )


def _fewest(row: Growth) -> int:
    return sum(map(fewest_deletes, _parts(row.nodes)))


def _limits(body_at: int, event_at: int, file_at: int) -> str:
    limits: Mapping[int, tuple[str, str]] = {
        body_at: (
            f"a template of {TEMPLATE_BODY_MAX:,} bytes in a request",
            "nothing: `cdk deploy` uploads it to S3 by itself",
        ),
        MAX_NODES: (
            "nodes in one resource",
            "make several, each depending on the one before; the construct says so at synth",
        ),
        event_at: (
            f"a request of {PAYLOAD_MAX // 1024} KB to the function, an Update of instance ids",
            "cannot be met with instance ids",
        ),
        file_at: (
            f"a template of {TEMPLATE_MAX:,} bytes",
            "several stacks; a cluster of that size does not exist (6,758 in a group)",
        ),
    }
    return table(
        ["about, nodes", "limit", "what to do past it"],
        ([f"{nodes:,}", *what] for nodes, what in sorted(limits.items())),
    )
