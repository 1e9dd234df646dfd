"""`plan`: what deploying a removal would do. Calls only ListClusterNodes and DescribeCluster.

The function's own code makes the plan, so it is what the function would do.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from hyperpod_node_removal_cli.connection import Connection, UnknownError
from hyperpod_node_removal_cli.report import (
    Conclusion,
    GroupChange,
    NodeOutcome,
    NodeReport,
    Problem,
    Report,
    unknown,
)
from hyperpod_node_removal_cli.validate import open_file, report_problems
from hyperpod_node_removal_contract.failure_codes import next_step
from hyperpod_node_removal_file import (
    RemovalFile,
    Settings,
    SettingsError,
    given_values,
    settings_from,
)
from hyperpod_node_removal_handler import outcome
from hyperpod_node_removal_handler.cluster import Cluster, ClusterDescription
from hyperpod_node_removal_handler.plan import Plan, PlanRow, make_plan
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.request import Guards
from hyperpod_node_removal_handler.requested_node import RequestedNode


def plan_file(file: str, connection: Connection) -> Report:
    """Report what deploying a removal file would do."""
    found = open_file(file)
    return found if isinstance(found, Report) else plan_removal(found, connection)


def plan_nodes(cluster: str, node_ids: Sequence[str], connection: Connection) -> Report:
    """Report what removing nodes would do, without a file."""
    subject = "the command line"
    try:
        given = given_values({"cluster": cluster, "node_ids": [*node_ids]}, f"{subject}: ")
        settings = settings_from(given, subject)
    except SettingsError as error:
        return report_problems(subject, error)
    return plan_removal(RemovalFile(subject, settings, {}), connection)


def plan_removal(file: RemovalFile, connection: Connection) -> Report:
    """Report what deploying a removal would do."""
    settings = file.settings
    if not settings.node_ids and not settings.node_logical_ids:
        return Report(
            subject=file.name,
            conclusion=Conclusion.FINE,
            headline="The set of nodes is empty; deploying it would make no calls.",
            cluster=settings.cluster,
        )
    try:
        cluster = Cluster(settings.cluster, connection.client_for("sagemaker", settings.cluster))
        with connection.explaining(f"cluster '{settings.cluster}'"):
            description = cluster.describe()
            plan = make_plan(
                Removal.of(settings.node_ids, settings.node_logical_ids),
                description,
                cluster.nodes,
            )
    except UnknownError as error:
        return unknown(file.name, str(error))
    return _report(file, plan, description)


def _report(file: RemovalFile, plan: Plan, description: ClusterDescription) -> Report:
    settings = file.settings
    requested = plan.removal.nodes
    nodes = tuple(_node(row, node, file) for row, node in zip(plan.rows(), requested, strict=True))
    broken = plan.broken(_guards(settings))
    if broken:
        nodes = tuple(
            replace(node, outcome=NodeOutcome.GUARDED)
            if node.outcome is NodeOutcome.REMOVE
            else node
            for node in nodes
        )
    is_refused = any(node.is_wrong for node in nodes)
    return Report(
        subject=file.name,
        conclusion=Conclusion.PROBLEMS if broken or is_refused else Conclusion.FINE,
        headline=(
            f"Nothing would be removed from {description.name}: a guard refuses the whole set."
            if broken
            else _headline(nodes, description)
        ),
        cluster=description.name,
        problems=tuple(Problem(f"A guard is violated: {phrase}.", file.name) for phrase in broken),
        nodes=nodes,
        groups=() if broken else _changes(plan, description),
        notes=(*_notes(settings, description), *outcome.warnings(requested, description)),
    )


def _guards(settings: Settings) -> Guards:
    """Return the guards as the function's type."""
    return Guards(
        min_remaining=settings.min_remaining,
        max_removals=settings.max_removals,
        protected_groups=settings.protected_groups,
        expected_groups=settings.expected_groups,
        missing_nodes=settings.missing_nodes,
    )


def _node(row: PlanRow, node: RequestedNode, file: RemovalFile) -> NodeReport:
    refusal = node.refusal
    return NodeReport(
        name=row.node,
        outcome=NodeOutcome(row.action),
        group=row.group,
        instance_type=row.instance_type,
        status=row.status,
        code=str(refusal.code) if refusal else "",
        message=refusal.message if refusal else row.reason,
        next_step=next_step(str(refusal.code)) if refusal else "",
        file=file.name,
        line=file.node_lines.get(row.node),
    )


def _headline(nodes: tuple[NodeReport, ...], description: ClusterDescription) -> str:
    counts = Counter(node.outcome for node in nodes)
    going = counts.pop(NodeOutcome.REMOVE, 0)
    also = "".join(f", {counts[outcome]} {outcome}" for outcome in NodeOutcome if counts[outcome])
    would = f"{going} {'node' if going == 1 else 'nodes'} of {description.name} would be removed"
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
            f"The cluster is {description.status}; the service removes no nodes until that ends."
            f" A deployment would retry for {settings.retry_for} s."
        )
    if settings.dry_run:
        notes.append("The file has dry_run: true, so a deployment would remove nothing.")
    return notes
