"""The wire contract between a CloudFormation template and the function.

Both sides import it: the construct at synth, the function at run time. Every property name,
limit, enumeration and rule about a value is defined here once, with the error message of the rule.
The module does no I/O and imports the standard library only.

Sources are given as `[model]` (the botocore service model of SageMaker), `[guide]` (the HyperPod
developer guide), `[cfn]` (the CloudFormation user guide, custom resource reference).
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from hyperpod_node_removal_contract.failure_codes import (
    FailureCode as FailureCode,  # part of the contract
)

RESOURCE_TYPE: Final = "Custom::HyperPodNodeRemoval"


class Property(StrEnum):
    """Properties a template can set. Their meanings are in `properties`."""

    CLUSTER_NAME = "ClusterName"
    NODE_IDS = "NodeIds"
    NODE_LOGICAL_IDS = "NodeLogicalIds"
    ON_PARTIAL_FAILURE = "OnPartialFailure"
    WAIT_FOR = "WaitFor"
    DRY_RUN = "DryRun"
    MIN_REMAINING = "MinRemaining"
    MAX_REMOVALS = "MaxRemovals"
    PROTECTED_GROUPS = "ProtectedGroups"
    EXPECTED_GROUPS = "ExpectedGroups"
    MISSING_NODES = "MissingNodes"
    BEFORE_REMOVAL = "BeforeRemoval"
    RETRY_FOR = "RetryFor"
    RETRY_TOKEN = "RetryToken"  # noqa: S105
    VERDICT_CONDITION = "VerdictCondition"
    SERVICE_TIMEOUT = "ServiceTimeout"
    SERVICE_TOKEN = "ServiceToken"  # noqa: S105


class Attribute(StrEnum):
    """Keys of `Data`, for `Fn::GetAtt`. Every response has all: a missing one fails a stack."""

    OUTCOME = "Outcome"
    CLUSTER_NAME = "ClusterName"
    REQUESTED_COUNT = "RequestedCount"
    PLANNED_COUNT = "PlannedCount"
    REMOVED_COUNT = "RemovedCount"
    ACCEPTED_COUNT = "AcceptedCount"
    ALREADY_ABSENT_COUNT = "AlreadyAbsentCount"
    FAILED_COUNT = "FailedCount"
    PLANNED_NODES = "PlannedNodes"
    REMOVED_NODES = "RemovedNodes"
    ACCEPTED_NODES = "AcceptedNodes"
    ALREADY_ABSENT_NODES = "AlreadyAbsentNodes"
    FAILED_NODES = "FailedNodes"
    REQUESTED_NODES = "RequestedNodes"
    INSTANCE_GROUP_TARGET_COUNTS = "InstanceGroupTargetCounts"
    WARNINGS = "Warnings"


class PartialFailure(StrEnum):
    """What a removal that fails for some, but not all, of its nodes does to the stack."""

    FAIL = "FAIL"
    """The resource fails and the stack rolls back. The default."""
    REPORT = "REPORT"
    """The resource succeeds; the failed nodes are in its attributes and its log."""


class WaitFor(StrEnum):
    """How far a removal must get before the resource is complete."""

    REMOVED = "REMOVED"
    """Every node has left the cluster, which is no longer in transition. The default."""
    ACCEPTED = "ACCEPTED"
    """The service has accepted the removal of every node; whether they leave is not waited for."""


class MissingNodes(StrEnum):
    """What a node that is not in the cluster means. A typing error looks like a removed node."""

    ACCEPT = "ACCEPT"
    """It counts as removed. The default."""
    FAIL = "FAIL"
    """The whole set is rejected."""


class Outcome(StrEnum):
    """Values of the `Outcome` attribute."""

    PLANNED = "PLANNED"
    """A dry run: `PlannedNodes` has what would be removed; nothing was."""

    ACCEPTED = "ACCEPTED"
    """Every removal was accepted, and some nodes are still leaving. With `WaitFor: ACCEPTED`."""
    COMPLETE = "COMPLETE"
    """Every requested node has left the cluster, or was not in it to begin with."""
    PARTIAL = "PARTIAL"
    """Some nodes left and others did not, or an update of settings only left them alone. Seen with
    `OnPartialFailure: REPORT` only."""
    FAILED = "FAILED"
    """No node left. Never seen by a template: the resource fails."""
    EMPTY = "EMPTY"
    """The set is empty; no calls were made."""
    ROLLED_BACK = "ROLLED_BACK"
    """The stack is rolling back; nothing was removed and nothing was restored."""
    DELETED = "DELETED"
    """The resource left the stack; the cluster was not changed."""


# Numbers -------------------------------------------------------------------------------------

MAX_IDS_PER_REQUEST: Final = 99
"""Identifiers in one BatchDeleteClusterNodes request of instance ids only [guide]."""
MAX_IDS_PER_REQUEST_WITH_LOGICAL_IDS: Final = 50
"""Identifiers in one BatchDeleteClusterNodes request that has a logical id [guide]."""
MAX_NODES: Final = 3000
"""Identifiers in one resource: the longest `NodeIds` of the API's shape [model]."""
GROUP_SIZE_MAX: Final = 6758
"""Instances in an instance group: the largest `TargetCount` of the API's shape [model]."""
RETRY_FOR_DEFAULT: Final = 600
"""Seconds."""
RETRY_FOR_MAX: Final = 3600
"""Seconds. CloudFormation does not wait longer for the resource."""
REMOVAL_TIMEOUT_DEFAULT: Final = 1800
"""Seconds. `ServiceTimeout` as the construct and the removal file set it: ten minutes of retries
and twice as much for the nodes to leave, so that a stack does not wait an hour for a function that
was killed."""
SERVICE_TIMEOUT_DEFAULT: Final = 3600
"""Seconds [cfn]."""
SERVICE_TIMEOUT_MIN: Final = 60
"""Seconds. Enough for a cold start, a listing of the cluster, a request and the response."""
SERVICE_TIMEOUT_MAX: Final = 3600
"""Seconds [cfn]."""
EVENT_AGE_MAX: Final = SERVICE_TIMEOUT_MIN
"""Seconds for which Lambda keeps an event that it cannot run (`MaximumEventAge` of the function),
so that none runs after CloudFormation has given up."""
EVENT_AGE_MAX_IN_VPC: Final = 300
"""The same for a function in a VPC. If it was idle for weeks, Lambda takes a minute or more to
connect it again before it runs an event [lambda, "Lambda function states"]. An event that is older
than its ServiceTimeout only gets a response."""
EVENT_AGE_VARIABLE: Final = "MAXIMUM_EVENT_AGE"
"""Environment variable of the function: its `MaximumEventAge`, if that is not `EVENT_AGE_MAX`."""
BEFORE_REMOVAL_MAX: Final = 720
"""Seconds a hook can take. One invocation of the function, of at most 900 s, waits for it, and also
describes the cluster before and re-invokes the function after it."""
RELEASE_MAX_AGE: Final = 60
"""Seconds after which a hook must ignore the release of nodes: the next deployment may have drained
them again."""
RETRY_TOKEN_MAX: Final = 1024
"""Characters. Only whether an update changes the token matters, not its text."""
RESPONSE_MAX_BYTES: Final = 4096
"""Bytes of a response body [cfn]. A longer one fails the resource and loses the Reason."""
REASON_MAX_BYTES: Final = 900
"""Bytes of a `Reason`. Stack events truncate it near 1,024, of which 123 are CloudFormation's own
text around it. The log stream comes last and must not be truncated: the CDK CLI parses it."""
SIGNAL_ID_MAX: Final = 64
"""Characters of the `UniqueId` of SignalResource, which the stack's event shows [model of
CloudFormation]."""
VERDICT_TIMEOUT: Final = 300
"""Seconds that the wait condition of a verdict waits for its signal."""
PHYSICAL_RESOURCE_ID_MAX: Final = 1024
"""Characters of a physical resource id [cfn]."""

# Values --------------------------------------------------------------------------------------
# Each `validate_*` takes a value from the wire and returns None, or what is wrong with it as the
# end of a sentence: "<where> <problem>".

# The patterns use the syntax that Python, ECMAScript, and Java share: editors and the parameters of
# templates use them, too.

NODE_ID_FORM: Final = r"i-[a-f0-9]{8}(?:[a-f0-9]{9})?"
NODE_LOGICAL_ID_FORM: Final = r"[a-zA-Z0-9][a-zA-Z0-9-]{0,126}[a-zA-Z0-9]"
"""An instance id, `hyperpod-` with one, and a host name have this form too, and are rejected."""
HOST_NAME_FORM: Final = r"[iI][pP]-[0-9]{1,3}(?:-[0-9]{1,3}){3}"
"""The first label of the private host name that EC2 gives an instance."""
CLUSTER_NAME_FORM: Final = r"(?![a-zA-Z0-9-]{64})[a-zA-Z0-9](?:-*[a-zA-Z0-9])*"
INSTANCE_GROUP_FORM: Final = CLUSTER_NAME_FORM
CLUSTER_ARN_FORM: Final = r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:[0-9]{12}:cluster/[a-z0-9]{12}"
EKS_CLUSTER_ARN_FORM: Final = (
    r"arn:aws[a-z-]*:eks:[a-z0-9-]+:[0-9]{12}:cluster/[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
)
STACK_NAME_FORM: Final = "[A-Za-z][A-Za-z0-9-]{0,127}"
LOGICAL_RESOURCE_ID_FORM: Final = "[A-Za-z0-9]{1,255}"
FUNCTION_ARN_FORM: Final = (
    r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:[a-zA-Z0-9_-]{1,64}"
    r"(?::(?:\$LATEST|[a-zA-Z0-9_-]{1,128}))?"
)

SEPARATOR_FORM: Final = r"[\s,;|\"'`]"
"""Separates ids in one text."""
LIST_BRACKETS: Final = (r"[\[({]", r"[\])}]")
"""A text may begin and end with these, as a list of JSON or Python."""

_PASTED: Final = rf"(?:\[[0-9,-]+\]|(?!{SEPARATOR_FORM}).)+"
"""A piece of a text. Slurm's host lists have commas in them: `ip-10-1-2-[3,5-7]`."""
_IN_BRACKETS: Final = r"(?s)\s*{}(.*){}\s*".format(*LIST_BRACKETS)
_WITHIN: Final = rf"(?<![a-z0-9]){NODE_ID_FORM}(?![a-z0-9])"
_KUBERNETES_NODE_NAME_FORM = f"hyperpod-({NODE_ID_FORM})"
_HOST_NUMBER = r"(?:[0-9]{1,3}|\[[0-9,-]+\])"
_HOSTS = rf"[iI][pP]-{_HOST_NUMBER}(?:-{_HOST_NUMBER}){{3}}(?![a-zA-Z0-9-])"
_QUOTED_MAX: Final = 80
_CUT: Final = " [...] "


def escape(text: str, limit: int | None = None) -> str:
    """Return `text` with all but printable ASCII escaped, truncated to `limit` characters.

    The result is safe in a log line or a stack event: it has no control character, no ANSI escape,
    and no bidirectional override.
    """
    head = text if limit is None else text[:limit]
    is_plain = head.isascii() and head.isprintable()  # as nearly all texts are
    escaped = head if is_plain else "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in head)
    if limit is not None and (len(text) > limit or len(escaped) > limit):
        return escaped[: max(0, limit - 3)] + "..."
    return escaped


def escape_error(error: BaseException) -> str:
    """Return an unexpected error in one line of at most 400 printable characters."""
    return escape(f"{type(error).__name__}: {error}", 400)


def truncate_middle(text: str, limit: int) -> str:
    """Truncate printable `text` to `limit` characters in its middle, with a mark.

    A service's message often ends with what matters: for a denied call, why it was denied.
    """
    if len(text) <= limit:
        return text
    room = max(0, limit - len(_CUT))
    tail = room // 2
    return (text[: room - tail] + _CUT + text[len(text) - tail :])[:limit]


def quote(value: object) -> str:
    """Return `value` in single quotes, safe to print and short enough for a sentence."""
    return f"'{escape(str(value), _QUOTED_MAX)}'"


def join_names(names: Sequence[str], shown: int = 10) -> str:
    """Return the first `shown` of `names`, and how many more there are."""
    more = f", +{len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def pasted_ids(text: str) -> tuple[str, ...]:
    """Return the ids in a pasted text, in order.

    They can be separated by commas, semicolons, bars, blanks, or lines, quoted, and written as a
    list of JSON or Python. Other text next to an id, such as the name of a tool, is kept for
    validation to reject: it may mean something else.
    """
    whole = re.fullmatch(_IN_BRACKETS, text)
    return tuple(re.findall(_PASTED, whole[1] if whole else text))


def _validate(form: str, value: str, what: str) -> str | None:
    return None if re.fullmatch(form, value) else f"{quote(value)} is not {what}"


def is_host_name(value: str) -> bool:
    """Return whether a text is the host name of an EC2 instance, with or without a domain.

    As a logical id it would match no node, and so count as removed. Slurm's lists of such names
    (`ip-10-1-2-[3-5]`) are host names, too.
    """
    return re.match(_HOSTS, value.strip()) is not None


def _validate_not_host_name(value: str) -> str | None:
    if not is_host_name(value):
        return None
    what = "a list of host names" if "[" in value else "a host name"
    return (
        f"{quote(value)} is {what}; use the node's instance id, which aws sagemaker"
        " list-cluster-nodes shows next to its PrivateDnsHostname"
    )


def _with_instance_ids(value: str) -> tuple[str, ...]:
    """Return the instance ids within a text."""
    return tuple(dict.fromkeys(re.findall(_WITHIN, value.lower())))


def validate_node_id(value: str) -> str | None:
    """Validate an instance id: `i-` and 8 or 17 hexadecimal digits [model]."""
    if re.fullmatch(NODE_ID_FORM, value):
        return None
    if problem := _validate_not_host_name(value):
        return problem
    if kubernetes := re.fullmatch(_KUBERNETES_NODE_NAME_FORM, value.strip()):
        name = quote(value)
        return f"{name} is the Kubernetes name of a node; use its instance id, {kubernetes[1]}"
    if ids := _with_instance_ids(value):
        return f"{quote(value)} is not an instance id alone; use {join_names(ids)}"
    return f"{quote(value)} is not an instance id; allowed: i- and 8 or 17 of the digits 0-9 a-f"


def validate_node_logical_id(value: str) -> str | None:
    """Validate a logical id: 2 to 128 letters, digits, and inner hyphens [model]."""
    if problem := _validate_not_host_name(value):
        return problem
    is_logical = re.fullmatch(NODE_LOGICAL_ID_FORM, value)
    is_instance = re.fullmatch(rf"(?:hyperpod-)?{NODE_ID_FORM}", value)
    if (is_instance or not is_logical) and (ids := _with_instance_ids(value)):
        return (
            f"{quote(value)} names an instance; put {join_names(ids)} into {Property.NODE_IDS}"
            " instead"
        )
    return _validate(
        NODE_LOGICAL_ID_FORM,
        value,
        "a logical id; allowed: 2 to 128 letters, digits and hyphens, with no hyphen at either end",
    )


def validate_cluster_name(value: str) -> str | None:
    """Validate a cluster name or a cluster ARN [model]."""
    if value.startswith("arn:"):
        return validate_cluster_arn(value)
    return _validate(
        CLUSTER_NAME_FORM,
        value,
        "a cluster name; allowed: 1 to 63 letters, digits and hyphens that begin and end with a"
        " letter or digit, or a cluster ARN",
    )


def validate_cluster_arn(value: str) -> str | None:
    """Validate a cluster ARN. It ends in a 12-character id, which is not the name [model]."""
    return _validate(
        CLUSTER_ARN_FORM,
        value,
        "a cluster ARN; allowed: arn:aws:sagemaker:<region>:<account>:cluster/<id>, where <id> is"
        " 12 lower-case letters and digits (not the cluster's name)",
    )


def validate_eks_cluster_arn(value: str) -> str | None:
    """Validate the ARN of an EKS cluster. It is used only for permissions, never on the wire."""
    allowed = "arn:aws:eks:<region>:<account>:cluster/<name>"
    return _validate(EKS_CLUSTER_ARN_FORM, value, f"the ARN of an EKS cluster; allowed: {allowed}")


def validate_stack_name(value: str) -> str | None:
    """Validate the name of a stack [cfn]. Removal files have one; it is never on the wire."""
    allowed = "up to 128 letters, digits and hyphens, the first a letter"
    return _validate(STACK_NAME_FORM, value, f"a stack name; allowed: {allowed}")


def validate_logical_resource_id(value: str) -> str | None:
    """Validate the logical id of a resource in a template [cfn]."""
    return _validate(
        LOGICAL_RESOURCE_ID_FORM,
        value,
        "the logical id of a resource; allowed: up to 255 letters and digits",
    )


def validate_retry_token(value: str) -> str | None:
    """Validate a retry token: any text that is not too long."""
    if len(value) <= RETRY_TOKEN_MAX:
        return None
    return f"has {len(value)} characters; allowed: {RETRY_TOKEN_MAX} characters"


def validate_instance_group(value: str) -> str | None:
    """Validate the name of an instance group; there are no wildcards [model]."""
    return _validate(
        INSTANCE_GROUP_FORM,
        value,
        "the name of an instance group; allowed: 1 to 63 letters, digits and hyphens that begin"
        " and end with a letter or digit",
    )


def validate_function_arn(value: str) -> str | None:
    """Validate the ARN of a Lambda function, version, or alias [model of Lambda]."""
    return _validate(
        FUNCTION_ARN_FORM,
        value,
        "the ARN of a function; allowed: arn:aws:lambda:<region>:<account>:function:<name>, with or"
        " without :<version or alias>",
    )


def validate_choice(value: str, kind: type[StrEnum]) -> str | None:
    """Validate one of the values of an enumeration."""
    if value in {str(choice) for choice in kind}:
        return None
    return f"{quote(value)} is unknown; allowed: {' or '.join(kind)}"
