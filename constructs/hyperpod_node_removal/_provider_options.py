"""What can be wrong with the options of a provider, before anything is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._errors import InvalidPropertyError
from hyperpod_node_removal._place import check_arn_place
from hyperpod_node_removal._validation import is_token

if TYPE_CHECKING:
    from aws_cdk import Stack
    from aws_cdk import aws_ec2 as ec2

_SELECTION: Final = (
    "availability_zones",
    "one_per_az",
    "subnet_filters",
    "subnet_group_name",
    "subnet_type",
    "subnets",
)
"""Members of `aws_cdk.aws_ec2.SubnetSelection`."""


def check_role(path: str, role: object, stack: Stack, permissions_boundary: object = None) -> None:
    """Raise `InvalidPropertyError` unless the role is one, or None, that a function of the stack
    can have, and that can have the boundary."""
    if role is None:
        return
    arn = getattr(role, "role_arn", None)
    if not isinstance(arn, str):
        shown = contract.quote(f"{role} ({type(role).__name__})")
        raise InvalidPropertyError(
            path,
            "role",
            f"{shown} is not a role; allowed: an IRole, such as"
            " Role.from_role_name(stack, 'Role', 'node-removal')",
        )
    check_arn_place(path, "role", arn, stack, "a role of the stack's account, as Lambda requires")
    if permissions_boundary is not None:
        raise InvalidPropertyError(
            path,
            "permissions_boundary",
            "is for the role that the provider makes, but role is given; set the boundary where"
            " that role is made",
        )


def check_log_group(path: str, log_group: object, log_retention: object) -> None:
    """Raise `InvalidPropertyError` if a given log group is to keep events for another time."""
    if log_group is not None and log_retention is not None:
        raise InvalidPropertyError(
            path,
            "log_retention",
            "is for the log group that the provider makes, but log_group is given; set the"
            " retention of that log group",
        )


def check_network(
    path: str,
    vpc: ec2.IVpc | None,
    vpc_subnets: ec2.SubnetSelection | None,
    security_groups: object,
) -> None:
    """Raise `InvalidPropertyError` unless a function in these subnets can reach anything."""
    if vpc is None:
        for name, value in (("vpc_subnets", vpc_subnets), ("security_groups", security_groups)):
            if value:
                raise InvalidPropertyError(
                    path, name, "belongs to a VPC, but vpc is not given; specify both"
                )
        return
    allowed = "allowed: private subnets with a NAT gateway or with VPC endpoints"
    try:
        selected = vpc.select_subnets(**_selection(vpc_subnets)).subnet_ids
    except RuntimeError as error:  # how jsii reports an error of the CDK
        raise InvalidPropertyError(path, "vpc_subnets", f"{error}; {allowed}") from error
    public = {subnet.subnet_id for subnet in vpc.public_subnets}
    if found := public.intersection(selected):
        shown = ", ".join(sorted(one for one in found if not is_token(one))) or "the selection"
        raise InvalidPropertyError(
            path,
            "vpc_subnets",
            f"{shown} is public: a function has no public address there and reaches nothing;"
            f" {allowed}",
        )


def _selection(subnets: ec2.SubnetSelection | None) -> dict[str, Any]:
    """What the CDK's own methods take apart: Python has no arguments for the structure itself."""
    if isinstance(subnets, Mapping):  # which the CDK takes for one
        return dict(subnets)
    return {name: getattr(subnets, name) for name in _SELECTION if subnets is not None}


def check_reserved(path: str, reserved: Any) -> None:
    """Raise `InvalidPropertyError` unless one removal can run; a token passes."""
    if reserved is None or is_token(reserved):
        return
    name, shown = "reserved_concurrent_executions", contract.quote(reserved)
    if isinstance(reserved, bool) or not isinstance(reserved, int):
        raise InvalidPropertyError(path, name, f"{shown} is not a whole number")
    if reserved < 1:
        raise InvalidPropertyError(
            path,
            name,
            f"{shown} lets no request run: Lambda would drop each after"
            f" {contract.SERVICE_TIMEOUT_MIN} s, and a stack wait for its timeout; allowed: 1 or"
            " more, or None for the concurrency that the account has",
        )
