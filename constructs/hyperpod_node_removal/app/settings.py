"""What a stack of `app.py` is asked to remove."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from hyperpod_node_removal._removal import TIMEOUT_DEFAULT_SECONDS
from hyperpod_node_removal._validation import eks_cluster_arn_problem, retry_token_problem
from hyperpod_node_removal.app.given import Given, SettingsError
from hyperpod_node_removal.app.reading import choice, count, counts, flag, names, seconds, text
from hyperpod_node_removal_handler import contract
from hyperpod_node_removal_handler.contract import MissingNodes, PartialFailure, RemovalStage

_STACK_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}", re.ASCII)


class Key(StrEnum):
    """Keys of a file and of the command line. Only `cluster` is required."""

    CLUSTER = "cluster"
    """Name or ARN of the cluster."""
    NODE_IDS = "node_ids"
    """Instance ids, as a list or joined by commas."""
    NODE_LOGICAL_IDS = "node_logical_ids"
    """Logical ids, as a list or joined by commas."""
    ON_PARTIAL_FAILURE = "on_partial_failure"
    """FAIL (the default) or REPORT."""
    WAIT_FOR = "wait_for"
    """REMOVED (the default) or ACCEPTED."""
    DRY_RUN = "dry_run"
    """true or false (the default): find out what would be removed, and remove nothing."""
    MIN_REMAINING = "min_remaining"
    """Nodes that must remain, by instance group: a mapping, or `GROUP=NODES` joined by commas."""
    MAX_REMOVALS = "max_removals"
    """Most nodes that one deployment may remove. Default: no limit."""
    PROTECTED_GROUPS = "protected_groups"
    """Instance groups from which nothing is removed, as a list or joined by commas."""
    EXPECTED_GROUPS = "expected_groups"
    """The only instance groups from which nodes are removed, as a list or joined by commas."""
    MISSING_NODES = "missing_nodes"
    """ACCEPT (the default) or FAIL, for nodes that are not in the cluster."""
    TIMEOUT = "timeout"
    """Seconds the whole removal may take. Default: 1800."""
    RETRY_FOR = "retry_for"
    """Seconds for which busy nodes are tried again. Default: 600."""
    RETRY_TOKEN = "retry_token"  # noqa: S105
    """Any text; changing it runs the same set again."""
    EKS_CLUSTER_ARN = "eks_cluster_arn"
    """ARN of the EKS cluster that orchestrates the cluster, if one does."""
    STACK_NAME = "stack_name"
    """Default: `hyperpod-node-removal-` and the cluster's name, or the id its ARN ends in."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One removal set and the stack that holds it, checked."""

    cluster: str
    """Name or ARN."""
    stack_name: str
    node_ids: tuple[str, ...] = ()
    node_logical_ids: tuple[str, ...] = ()
    on_partial_failure: PartialFailure = PartialFailure.FAIL
    wait_for: RemovalStage = RemovalStage.REMOVED
    dry_run: bool = False
    min_remaining: Mapping[str, int] = field(default_factory=dict)
    """Nodes that must remain, by instance group."""
    max_removals: int | None = None
    protected_groups: tuple[str, ...] = ()
    expected_groups: tuple[str, ...] = ()
    """Empty: any."""
    missing_nodes: MissingNodes = MissingNodes.ACCEPT
    timeout: int = TIMEOUT_DEFAULT_SECONDS
    """Seconds."""
    retry_for: int = contract.RETRY_FOR_DEFAULT
    """Seconds."""
    retry_token: str | None = None
    eks_cluster_arn: str | None = None


def settings_from(given: Mapping[str, Given], source: str) -> Settings:
    """The settings that these values describe.

    Raises:
        SettingsError: `cluster` is missing, a key is unknown or a value is not allowed. The text
            points at the value, or at `source` for a missing one.
    """
    for key, value in given.items():
        if key not in frozenset(Key):
            raise value.error(f"unknown key; allowed: {', '.join(Key)}")
    if Key.CLUSTER not in given:
        raise SettingsError(f"{source}: cluster is missing; allowed: the name or ARN of a cluster")
    group_problem = contract.instance_group_problem
    cluster = text(given[Key.CLUSTER], contract.cluster_name_problem)
    stack_name = text(given.get(Key.STACK_NAME), _stack_name_problem)
    settings = Settings(
        cluster=cluster,
        stack_name=stack_name or default_stack_name(cluster),
        node_ids=names(given.get(Key.NODE_IDS), contract.node_id_problem),
        node_logical_ids=names(given.get(Key.NODE_LOGICAL_IDS), _logical_id_problem),
        on_partial_failure=choice(given.get(Key.ON_PARTIAL_FAILURE), PartialFailure.FAIL),
        wait_for=choice(given.get(Key.WAIT_FOR), RemovalStage.REMOVED),
        dry_run=flag(given.get(Key.DRY_RUN)),
        min_remaining=counts(given.get(Key.MIN_REMAINING), group_problem),
        max_removals=count(given.get(Key.MAX_REMOVALS)),
        protected_groups=names(given.get(Key.PROTECTED_GROUPS), group_problem),
        expected_groups=names(given.get(Key.EXPECTED_GROUPS), group_problem),
        missing_nodes=choice(given.get(Key.MISSING_NODES), MissingNodes.ACCEPT),
        timeout=seconds(
            given.get(Key.TIMEOUT),
            TIMEOUT_DEFAULT_SECONDS,
            contract.SERVICE_TIMEOUT_MIN,
            contract.SERVICE_TIMEOUT_MAX,
        ),
        retry_for=seconds(
            given.get(Key.RETRY_FOR), contract.RETRY_FOR_DEFAULT, 0, contract.RETRY_FOR_MAX
        ),
        retry_token=text(given.get(Key.RETRY_TOKEN), retry_token_problem),
        eks_cluster_arn=text(given.get(Key.EKS_CLUSTER_ARN), eks_cluster_arn_problem),
    )
    nodes = len(settings.node_ids) + len(settings.node_logical_ids)
    if nodes > contract.MAX_NODES:
        raise SettingsError(
            f"{source}: {nodes} nodes are listed; allowed: {contract.MAX_NODES} in one stack"
        )
    return settings


def default_stack_name(cluster: str) -> str:
    """A stack for each cluster: changing the list updates the stack that is there."""
    return f"hyperpod-node-removal-{cluster.rpartition('/')[2]}"


def _logical_id_problem(value: str) -> str | None:
    problem = contract.node_logical_id_problem(value)
    return problem and problem.replace(contract.Property.NODE_IDS, Key.NODE_IDS)


def _stack_name_problem(value: str) -> str | None:
    if _STACK_NAME.fullmatch(value):
        return None
    return (
        f"{contract.quoted(value)} is not a stack name; allowed: up to 128 letters, digits and"
        " hyphens, the first a letter"
    )
