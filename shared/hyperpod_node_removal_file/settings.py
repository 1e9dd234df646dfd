"""The settings of a removal, from a removal file or the command line of `app.py`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal_contract import MissingNodes, PartialFailure, WaitFor
from hyperpod_node_removal_contract.properties import BY_KEY
from hyperpod_node_removal_file.values import READERS, SettingsError, SourceValue, raise_all

_MEANT: Final = {
    **{key: key for key in BY_KEY},
    "nodes": "node_ids",
    "instance_ids": "node_ids",
    "cluster_name": "cluster",
    "service_timeout": "timeout",
}
"""Keys, and what users write instead, such as words of the API and of templates."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One set of nodes and its stack, checked. Fields have the names of the keys."""

    cluster: str
    """Name or ARN."""
    stack_name: str
    node_ids: tuple[str, ...] = ()
    node_logical_ids: tuple[str, ...] = ()
    on_partial_failure: PartialFailure = PartialFailure.FAIL
    wait_for: WaitFor = WaitFor.REMOVED
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
    verdict_event: bool = False
    eks_cluster_arn: str | None = None
    file: str | None = None
    """The file, safe to print; None for the command line."""


def settings_from(given: Mapping[str, SourceValue], source: str) -> Settings:
    """Return the settings that these values describe.

    Raises:
        SettingsError: `cluster` is missing, a key is unknown or a value is not allowed. The text
            is that of the first problem, and names the value's place, or `source` if it is missing;
            `every` has all, in the order of the values.
    """
    problems: list[SettingsError] = []
    read: dict[str, Any] = {}
    for key, value in given.items():
        try:
            if key not in BY_KEY:
                raise value.error(_unknown(key))
            row = BY_KEY[key]
            read[key] = READERS[row.kind](row, value)
        except SettingsError as error:
            problems.append(error)
    if "cluster" not in given:
        problems.append(
            SettingsError(f"{source}: cluster is missing; allowed: the name or ARN of a cluster")
        )
    nodes = len(read.get("node_ids", ())) + len(read.get("node_logical_ids", ()))
    if nodes > contract.MAX_NODES:
        problems.append(
            SettingsError(
                f"{source}: {nodes} nodes are listed; allowed: {contract.MAX_NODES} in one stack"
            )
        )
    raise_all(problems)
    return Settings(**{"stack_name": default_stack_name(read["cluster"]), **read})


def _unknown(key: str) -> str:
    """Return that there is no such key, and which one may be meant: users also write `nodeIds`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|-", "_", key).lower()
    near = get_close_matches(words, _MEANT, n=1)
    meant = f". Did you mean {_MEANT[near[0]]}?" if near else ""
    return f"unknown key; allowed: {', '.join(BY_KEY)}{meant}"


def default_stack_name(cluster: str) -> str:
    """Return the name of a cluster's stack: changing the list updates the same stack."""
    return f"hyperpod-node-removal-{cluster.rpartition('/')[2]}"
