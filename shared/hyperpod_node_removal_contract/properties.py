"""The table of properties, which the three parsers, the schemas and the docs read.

The function reads a property by its wire name, a removal file by its key, and the construct by an
argument with the name of the key. Each checks a value by its row. A new property is a row here and
the code that uses it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Final

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal_contract import (
    MissingNodes,
    PartialFailure,
    Property,
    WaitFor,
)

FLAGS: Final = {"true": True, "false": False}
"""Values of a flag in text."""
WHOLE_NUMBER: Final = "[0-9]{1,9}"
"""Form of a number in text."""


class Kind(StrEnum):
    """What a value is."""

    TEXT = "text"
    CHOICE = "one of an enumeration"
    FLAG = "true or false"
    NAMES = "a list of ids or names, each once"
    COUNT = "a number of nodes"
    COUNTS = "numbers of nodes by name"
    SECONDS = "a whole number of seconds"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One property."""

    name: Property | None = None
    """Wire name. None: only removal files, or they and the construct, have the property."""
    key: str = ""
    """Key in a removal file, and the construct's argument. Empty: only the wire has it."""
    kind: Kind
    validate: Callable[[str], str | None] = lambda _: None
    """Returns what is wrong with a text, or with a name in a list or a map; None if nothing."""
    default: Any = None
    """Value where it is not set. Not of `timeout`: 1,800 s in files and the construct."""
    is_required: bool = False
    choices: type[StrEnum] | None = None
    range: tuple[int, int] = (0, contract.GROUP_SIZE_MAX)
    """Least and greatest number, both allowed; of a text without a form, its length."""
    form: str = ""
    """Regular expression of a text or a name, for schemas. Empty: any."""
    is_pasted: bool = False
    """Whether its names are ids, which are pasted in many forms. Commas separate others."""
    is_target: bool = False
    """Whether it is part of what is to be removed: an update that changes it runs the set again."""
    meaning: str
    """A sentence for the docs and the schemas."""

    def names_in(self, text: str) -> tuple[str, ...]:
        """Return the names in a text, in order, without empty ones."""
        if self.is_pasted:
            return contract.pasted_ids(text)
        return tuple(filter(None, (name.strip() for name in text.split(","))))

    def validate_number(self, value: int) -> str | None:
        """Return what is wrong with a number, or None."""
        least, most = self.range
        if least <= value <= most:
            return None
        return f"{contract.quote(value)} is out of range; allowed: {self.allowed_numbers}"

    @property
    def allowed_numbers(self) -> str:
        """The range in words, such as `0 to 3600 seconds`."""
        least, most = self.range
        return f"{least} to {most} {'seconds' if self.kind is Kind.SECONDS else 'nodes'}"


def _choice(default: StrEnum) -> dict[str, Any]:
    kind = type(default)
    validate = partial(contract.validate_choice, kind=kind)
    return {"kind": Kind.CHOICE, "choices": kind, "default": default, "validate": validate}


_GROUPS: Final[dict[str, Any]] = {
    "kind": Kind.NAMES,
    "default": (),
    "validate": contract.validate_instance_group,
    "form": contract.INSTANCE_GROUP_FORM,
}

ROWS: Final = (
    Row(
        name=Property.CLUSTER_NAME,
        key="cluster",
        kind=Kind.TEXT,
        validate=contract.validate_cluster_name,
        is_required=True,
        is_target=True,
        form=f"{contract.CLUSTER_NAME_FORM}|{contract.CLUSTER_ARN_FORM}",
        meaning="Name or ARN of the cluster.",
    ),
    Row(
        name=Property.NODE_IDS,
        key="node_ids",
        kind=Kind.NAMES,
        default=(),
        validate=contract.validate_node_id,
        is_pasted=True,
        is_target=True,
        form=contract.NODE_ID_FORM,
        meaning="Instance ids to remove.",
    ),
    Row(
        name=Property.NODE_LOGICAL_IDS,
        key="node_logical_ids",
        kind=Kind.NAMES,
        default=(),
        validate=contract.validate_node_logical_id,
        is_pasted=True,
        is_target=True,
        form=rf"(?!(?:(?:hyperpod-)?{contract.NODE_ID_FORM}|{contract.HOST_NAME_FORM})(?![a-zA-Z0-9-]))"
        rf"{contract.NODE_LOGICAL_ID_FORM}",
        meaning="Logical ids to remove, in a cluster with continuous provisioning.",
    ),
    Row(
        name=Property.ON_PARTIAL_FAILURE,
        key="on_partial_failure",
        **_choice(PartialFailure.FAIL),
        meaning="Whether the deployment fails if some, but not all, nodes cannot be removed.",
    ),
    Row(
        name=Property.WAIT_FOR,
        key="wait_for",
        **_choice(WaitFor.REMOVED),
        meaning="Whether the deployment waits until the nodes have left, or only until the service"
        " has accepted their removal.",
    ),
    Row(
        name=Property.DRY_RUN,
        key="dry_run",
        kind=Kind.FLAG,
        default=False,
        is_target=True,
        meaning="Plan and report; remove nothing.",
    ),
    Row(
        name=Property.MIN_REMAINING,
        key="min_remaining",
        kind=Kind.COUNTS,
        validate=contract.validate_instance_group,
        form=contract.INSTANCE_GROUP_FORM,
        meaning="Nodes that must remain, by instance group: those that have an instance and are"
        " neither `Failure` nor leaving. Not empty.",
    ),
    Row(
        name=Property.MAX_REMOVALS,
        key="max_removals",
        kind=Kind.COUNT,
        meaning="How many nodes one deployment may remove.",
    ),
    Row(
        name=Property.PROTECTED_GROUPS,
        key="protected_groups",
        **_GROUPS,
        meaning="Instance groups from which nothing is removed.",
    ),
    Row(
        name=Property.EXPECTED_GROUPS,
        key="expected_groups",
        **_GROUPS,
        meaning="The only instance groups from which nodes are removed.",
    ),
    Row(
        name=Property.MISSING_NODES,
        key="missing_nodes",
        **_choice(MissingNodes.ACCEPT),
        meaning="Whether a node that is not in the cluster counts as removed or rejects the set.",
    ),
    Row(
        name=Property.BEFORE_REMOVAL,
        key="before_removal",
        kind=Kind.TEXT,
        validate=contract.validate_function_arn,
        form=contract.FUNCTION_ARN_FORM,
        meaning="ARN of a Lambda function that is invoked first and can veto nodes.",
    ),
    Row(
        name=Property.SERVICE_TIMEOUT,
        key="timeout",
        kind=Kind.SECONDS,
        default=contract.SERVICE_TIMEOUT_DEFAULT,
        range=(contract.SERVICE_TIMEOUT_MIN, contract.SERVICE_TIMEOUT_MAX),
        meaning="Seconds that the removal may take, and that CloudFormation waits for it.",
    ),
    Row(
        name=Property.RETRY_FOR,
        key="retry_for",
        kind=Kind.SECONDS,
        default=contract.RETRY_FOR_DEFAULT,
        range=(0, contract.RETRY_FOR_MAX),
        meaning="Seconds for which the removal of a node that is in use or changing is retried.",
    ),
    Row(
        name=Property.RETRY_TOKEN,
        key="retry_token",
        kind=Kind.TEXT,
        validate=contract.validate_retry_token,
        range=(0, contract.RETRY_TOKEN_MAX),
        is_target=True,
        meaning="Any text. Change this value to run the same set again.",
    ),
    Row(
        key="verdict_event",
        kind=Kind.FLAG,
        default=False,
        meaning="Whether a success appears in the stack's events too, with its counts. With REPORT"
        " only.",
    ),
    Row(
        name=Property.VERDICT_CONDITION,
        kind=Kind.TEXT,
        validate=contract.validate_logical_resource_id,
        form=contract.LOGICAL_RESOURCE_ID_FORM,
        meaning="Logical id of the wait condition that is signaled after a success. Rename the"
        " condition with each set.",
    ),
    Row(
        name=Property.SERVICE_TOKEN,
        kind=Kind.TEXT,
        is_required=True,
        meaning="ARN of the provider's function. CloudFormation needs it; the function ignores it.",
    ),
    Row(
        key="eks_cluster_arn",
        kind=Kind.TEXT,
        validate=contract.validate_eks_cluster_arn,
        form=contract.EKS_CLUSTER_ARN_FORM,
        meaning="ARN of the EKS cluster that orchestrates the cluster, if one does.",
    ),
    Row(
        key="stack_name",
        kind=Kind.TEXT,
        validate=contract.validate_stack_name,
        form=contract.STACK_NAME_FORM,
        meaning="Name of the stack. Default: `hyperpod-node-removal-` and the cluster's name, or"
        " the id that its ARN ends in.",
    ),
)
"""In the order of the docs."""

BY_NAME: Final = {row.name: row for row in ROWS if row.name}
BY_KEY: Final = {row.key: row for row in ROWS if row.key}
TARGET: Final = {name: row for name, row in BY_NAME.items() if row.is_target}
"""What is to be removed."""
