"""What a removal file, or the command line of `app.py`, asks to remove."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal_contract import MissingNodes, PartialFailure, RemovalStage
from hyperpod_node_removal_file.values import (
    SettingsError,
    SourceValue,
    choice,
    count,
    counts,
    flag,
    names,
    raise_all,
    seconds,
    text,
)

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
    BEFORE_REMOVAL = "before_removal"
    """ARN of a Lambda function that is asked first and may veto. Default: none."""
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
    before_removal: str | None = None
    """ARN of a Lambda function."""
    timeout: int = contract.REMOVAL_TIMEOUT_DEFAULT
    """Seconds."""
    retry_for: int = contract.RETRY_FOR_DEFAULT
    """Seconds."""
    retry_token: str | None = None
    eks_cluster_arn: str | None = None
    file: str | None = None
    """The file they stand in, safe to print; None for the command line."""


def settings_from(given: Mapping[str, SourceValue], source: str) -> Settings:
    """Return the settings that these values describe.

    Raises:
        SettingsError: `cluster` is missing, a key is unknown or a value is not allowed. The text
            points at the value, or at `source` for a missing one, and is that of the first problem;
            `every` has all.
    """
    problems = [
        value.error(f"unknown key; allowed: {', '.join(Key)}")
        for key, value in given.items()
        if key not in frozenset(Key)
    ]
    if Key.CLUSTER not in given:
        problems.append(
            SettingsError(f"{source}: cluster is missing; allowed: the name or ARN of a cluster")
        )
    read: dict[str, Any] = {}
    for key, reader in _READERS.items():
        if key in given:
            try:
                read[key.value] = reader(given[key])
            except SettingsError as error:
                problems.append(error)
    nodes = len(read.get(Key.NODE_IDS, ())) + len(read.get(Key.NODE_LOGICAL_IDS, ()))
    if nodes > contract.MAX_NODES:
        problems.append(
            SettingsError(
                f"{source}: {nodes} nodes are listed; allowed: {contract.MAX_NODES} in one stack"
            )
        )
    raise_all(problems)
    return Settings(**{Key.STACK_NAME.value: default_stack_name(read[Key.CLUSTER]), **read})


def default_stack_name(cluster: str) -> str:
    """Name a stack for each cluster: changing the list updates the stack that is there."""
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


_READERS: Final[Mapping[Key, Callable[[SourceValue], object]]] = {
    Key.CLUSTER: text(contract.cluster_name_problem),
    Key.STACK_NAME: text(_stack_name_problem),
    Key.NODE_IDS: names(contract.node_id_problem),
    Key.NODE_LOGICAL_IDS: names(_logical_id_problem),
    Key.ON_PARTIAL_FAILURE: choice(PartialFailure),
    Key.WAIT_FOR: choice(RemovalStage),
    Key.DRY_RUN: flag,
    Key.MIN_REMAINING: counts(contract.instance_group_problem),
    Key.MAX_REMOVALS: count,
    Key.PROTECTED_GROUPS: names(contract.instance_group_problem),
    Key.EXPECTED_GROUPS: names(contract.instance_group_problem),
    Key.MISSING_NODES: choice(MissingNodes),
    Key.BEFORE_REMOVAL: text(contract.function_arn_problem),
    Key.TIMEOUT: seconds(contract.SERVICE_TIMEOUT_MIN, contract.SERVICE_TIMEOUT_MAX),
    Key.RETRY_FOR: seconds(0, contract.RETRY_FOR_MAX),
    Key.RETRY_TOKEN: text(contract.retry_token_problem),
    Key.EKS_CLUSTER_ARN: text(contract.eks_cluster_arn_problem),
}
"""How the value of each key is read. Keys are the names of the fields of `Settings`."""
