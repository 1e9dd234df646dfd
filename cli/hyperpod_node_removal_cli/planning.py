"""`plan`: what would deploying the file do? Read-only: the pages of ListClusterNodes, and one
DescribeCluster.

The plan is made by the function's own code, so what it says here is what the function would do.
"""

from collections import Counter

from hyperpod_node_removal_cli.connection import Connection, UnknownError
from hyperpod_node_removal_cli.failure_codes import next_step
from hyperpod_node_removal_cli.report import (
    Conclusion,
    GroupChange,
    NodeOutcome,
    NodeReport,
    Place,
    Problem,
    Report,
    unknown,
)
from hyperpod_node_removal_cli.validating import opened
from hyperpod_node_removal_file import RemovalFile, Settings
from hyperpod_node_removal_handler import result
from hyperpod_node_removal_handler.cluster import Cluster, ClusterDescription, Refusal
from hyperpod_node_removal_handler.plan import Plan, PlanRow, make_plan
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.request import Guards


def planned(file: str, connection: Connection) -> Report:
    """The report on what deploying a removal file would do."""
    found = opened(file)
    if isinstance(found, Report):
        return found
    settings = found.settings
    if not settings.node_ids and not settings.node_logical_ids:
        return Report(
            subject=file,
            conclusion=Conclusion.FINE,
            headline="The set of nodes is empty: a deployment would call nothing.",
            cluster=settings.cluster,
        )
    try:
        cluster = Cluster(settings.cluster, connection.client_for("sagemaker", settings.cluster))
        with connection.explaining(f"cluster '{settings.cluster}'"):
            description = cluster.describe()
            _, plan = make_plan(
                Removal.of(settings.node_ids, settings.node_logical_ids),
                description,
                cluster.nodes,
            )
    except UnknownError as error:
        return unknown(file, str(error))
    return _report(found, plan, description)


def guards_of(settings: Settings) -> Guards:
    """The guards, as the function has them."""
    return Guards(
        min_remaining=settings.min_remaining,
        max_removals=settings.max_removals,
        protected_groups=settings.protected_groups,
        expected_groups=settings.expected_groups,
        missing_nodes=settings.missing_nodes,
    )


def _report(file: RemovalFile, plan: Plan, description: ClusterDescription) -> Report:
    settings = file.settings
    nodes = tuple(
        _node(row, node.refusal, Place(file.name, file.node_lines.get(row.node)))
        for row, node in zip(plan.rows(), plan.nodes, strict=True)
    )
    broken = plan.broken(guards_of(settings))
    refused = any(node.is_wrong for node in nodes)
    return Report(
        subject=file.name,
        conclusion=Conclusion.PROBLEMS if broken or refused else Conclusion.FINE,
        headline=_headline(nodes, description, is_guarded=bool(broken)),
        cluster=description.name,
        problems=tuple(
            Problem(f"A guard is broken: {phrase}.", Place(file.name)) for phrase in broken
        ),
        nodes=nodes,
        groups=() if broken else _changes(plan, description),
        notes=(*_notes(settings, description), *result.warnings(plan.nodes, description)),
    )


def _node(row: PlanRow, refusal: Refusal | None, place: Place) -> NodeReport:
    return NodeReport(
        name=row.node,
        outcome=NodeOutcome(row.action),
        group=row.group,
        instance_type=row.instance_type,
        status=row.status,
        code=str(refusal.code) if refusal else "",
        message=refusal.message if refusal else row.reason,
        next_step=next_step(str(refusal.code)) if refusal else "",
        place=place,
    )


def _headline(
    nodes: tuple[NodeReport, ...], description: ClusterDescription, *, is_guarded: bool
) -> str:
    counts = Counter(node.outcome for node in nodes)
    going = counts[NodeOutcome.REMOVE]
    also = "".join(
        f", {counts[outcome]} {outcome}"
        for outcome in NodeOutcome
        if outcome is not NodeOutcome.REMOVE and counts[outcome]
    )
    would = f"{going} {'node' if going == 1 else 'nodes'} of {description.name} would be removed"
    if is_guarded:
        return f"Nothing would be removed from {description.name}: a guard refuses the whole set."
    return f"{would}{also}."


def _changes(plan: Plan, description: ClusterDescription) -> tuple[GroupChange, ...]:
    before = description.target_counts
    return tuple(
        GroupChange(name, before[name], before[name] - group.to_remove)
        for name, group in plan.by_group().items()
        if name in before
    )


def _notes(settings: Settings, description: ClusterDescription) -> list[str]:
    notes = []
    if description.is_in_transition:
        notes.append(
            f"The cluster is {description.status}: the service removes no node until that is over."
            f" A deployment would try for {settings.retry_for} s."
        )
    if settings.dry_run:
        notes.append("The file has dry_run: true, so a deployment would remove nothing.")
    return notes
