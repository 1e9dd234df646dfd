"""What a stack of `app.py` is asked to remove."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from hyperpod_node_removal._removal import TIMEOUT_DEFAULT_SECONDS
from hyperpod_node_removal._validation import eks_cluster_arn_problem, retry_token_problem
from hyperpod_node_removal.app.given import Given, Kind, SettingsError
from hyperpod_node_removal_handler import contract
from hyperpod_node_removal_handler.contract import PartialFailure, RemovalStage

Choice = TypeVar("Choice", bound=StrEnum)

_STACK_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}", re.ASCII)
_WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


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
    cluster = _text(given[Key.CLUSTER], contract.cluster_name_problem)
    settings = Settings(
        cluster=cluster,
        stack_name=_optional_text(given, Key.STACK_NAME, _stack_name_problem)
        or default_stack_name(cluster),
        node_ids=_ids(given.get(Key.NODE_IDS), contract.node_id_problem),
        node_logical_ids=_ids(given.get(Key.NODE_LOGICAL_IDS), _logical_id_problem),
        on_partial_failure=_choice(given, Key.ON_PARTIAL_FAILURE, PartialFailure.FAIL),
        wait_for=_choice(given, Key.WAIT_FOR, RemovalStage.REMOVED),
        timeout=_seconds(
            given.get(Key.TIMEOUT),
            TIMEOUT_DEFAULT_SECONDS,
            contract.SERVICE_TIMEOUT_MIN,
            contract.SERVICE_TIMEOUT_MAX,
        ),
        retry_for=_seconds(
            given.get(Key.RETRY_FOR), contract.RETRY_FOR_DEFAULT, 0, contract.RETRY_FOR_MAX
        ),
        retry_token=_optional_text(given, Key.RETRY_TOKEN, retry_token_problem),
        eks_cluster_arn=_optional_text(given, Key.EKS_CLUSTER_ARN, eks_cluster_arn_problem),
    )
    count = len(settings.node_ids) + len(settings.node_logical_ids)
    if count > contract.MAX_NODES:
        raise SettingsError(
            f"{source}: {count} nodes are listed; allowed: {contract.MAX_NODES} in one stack"
        )
    return settings


def default_stack_name(cluster: str) -> str:
    """A stack for each cluster: changing the list updates the stack that is there."""
    return f"hyperpod-node-removal-{cluster.rpartition('/')[2]}"


def _text(given: Given, problem: Callable[[str], str | None]) -> str:
    text = given.as_text().strip()
    if sentence := problem(text):
        raise given.error(sentence)
    return text


def _optional_text(
    given: Mapping[str, Given], key: Key, problem: Callable[[str], str | None]
) -> str | None:
    return _text(given[key], problem) if key in given else None


def _ids(given: Given | None, problem: Callable[[str], str | None]) -> tuple[str, ...]:
    """Ids from a list or from text joined by commas. Empty places count for nothing."""
    if given is None:
        return ()
    ids: dict[str, None] = {}
    for item in given.items if given.kind is Kind.LIST else (given,):
        for piece in item.as_text().split(","):
            if not (identifier := piece.strip()):
                continue
            if sentence := problem(identifier):
                raise item.error(sentence)
            if identifier in ids:
                raise item.error(
                    f"{contract.quoted(identifier)} is listed twice; allowed: each id once"
                )
            ids[identifier] = None
    return tuple(ids)


def _choice(given: Mapping[str, Given], key: Key, default: Choice) -> Choice:
    kind = type(default)
    text = _optional_text(given, key, lambda value: contract.choice_problem(value, kind))
    return kind(text) if text else default


def _seconds(given: Given | None, default: int, least: int, most: int) -> int:
    if given is None:
        return default
    if given.kind not in (Kind.TEXT, Kind.NUMBER) or not _WHOLE_NUMBER.fullmatch(given.text):
        shown = contract.quoted(given.text) if given.text else given.kind
        raise given.error(f"{shown} is not a whole number; allowed: {least} to {most} seconds")
    if sentence := contract.seconds_problem(int(given.text), least, most):
        raise given.error(sentence)
    return int(given.text)


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
