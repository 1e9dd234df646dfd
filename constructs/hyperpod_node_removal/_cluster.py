"""The cluster of a removal, which is specified in one of three ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from aws_cdk import CfnResource, Stack

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._errors import InvalidPropertyError
from hyperpod_node_removal._place import Place, check_place
from hyperpod_node_removal._validation import check_text, is_token, show

if TYPE_CHECKING:
    from aws_cdk.aws_sagemaker import CfnCluster
    from aws_cdk.interfaces.aws_sagemaker import IClusterRef

_ALLOWED: Final = "a cluster in the stack's account and region, where the function looks for it"


@dataclass(frozen=True)
class NamedCluster:
    """What the template says about a cluster."""

    name: str
    """Name or ARN: the `ClusterName` property of the resource. May be a token."""
    arn: str | None
    """ARN for the permissions, or None if only the name is known. May be a token."""
    managed: CfnCluster | None = None
    """The cluster's resource, if it was given as a construct that this app manages."""


def named_cluster(
    path: str,
    stack: Stack,
    *,
    cluster: IClusterRef | None,
    cluster_arn: str | None,
    cluster_name: str | None,
) -> NamedCluster:
    """Return the cluster of a removal at `path` in `stack`, checked.

    Raises:
        InvalidPropertyError: not exactly one way is used, or its value is not allowed.
    """
    ways = {"cluster": cluster, "cluster_arn": cluster_arn, "cluster_name": cluster_name}
    given = [way for way, value in ways.items() if value is not None]
    if len(given) != 1:
        shown = ", ".join(given) or "none of them"
        problem = f"specify exactly one of {', '.join(ways)}; given: {shown}"
        raise InvalidPropertyError(path, "cluster", problem)
    if cluster is not None:
        return _of_construct(path, stack, cluster)
    if cluster_arn is not None:
        return _of_arn(path, "cluster_arn", stack, cluster_arn)
    check_text(path, "cluster_name", cluster_name, _validate_name)
    return NamedCluster(cast("str", cluster_name), arn=None)


def may_be_the_same(one: str, other: str) -> bool:
    """Return whether two names or ARNs may be of one cluster, as a name and an ARN may be."""
    if is_token(one) or is_token(other):
        return True
    return one == other or is_arn(one) != is_arn(other)


def is_arn(name: str) -> bool:
    """Return whether the name of a cluster is an ARN."""
    return name.startswith("arn:")


def _validate_name(value: str) -> str | None:
    if is_arn(value):
        return f"{contract.quote(value)} is an ARN; pass it as cluster_arn"
    return contract.validate_cluster_name(value)


def _of_arn(path: str, way: str, stack: Stack, arn: str) -> NamedCluster:
    check_text(path, way, arn, contract.validate_cluster_arn)
    check_place(path, way, Place.of_arn(arn), stack, _ALLOWED)
    return NamedCluster(arn, arn=arn)


def _of_construct(path: str, stack: Stack, cluster: IClusterRef) -> NamedCluster:
    resource = _managed_resource(cluster)
    if resource is None:
        if not hasattr(cluster, "cluster_ref"):
            problem = f"{show(cluster)} is not a cluster; allowed: an IClusterRef"
            raise InvalidPropertyError(path, "cluster", problem)
        return _of_arn(path, "cluster", stack, cluster.cluster_ref.cluster_arn)
    name = resource.cluster_name
    # A reference to the resource would make CloudFormation update the cluster first, and a lowered
    # InstanceCount would remove other nodes than the ones that are listed here.
    if name is None or is_token(name):
        raise InvalidPropertyError(
            path,
            "cluster",
            f"the cluster '{resource.node.path}' has no literal name, so the removal could not run"
            " before a change to the cluster; set its cluster_name to a literal string, or remove"
            " the nodes in a separate deployment, with cluster_arn",
        )
    check_text(path, "cluster", name, _validate_name)
    place = Place.of_stack(resource.node.path, Stack.of(resource))
    check_place(path, "cluster", place, stack, _ALLOWED)
    return NamedCluster(name, arn=None, managed=resource)


def _managed_resource(cluster: IClusterRef) -> CfnCluster | None:
    """Return the AWS::SageMaker::Cluster of a construct, or None if this app does not manage it."""
    node = getattr(cluster, "node", None)
    for candidate in (cluster, node and node.default_child):
        if isinstance(candidate, CfnResource):  # only then is it worth importing the module
            from aws_cdk.aws_sagemaker import CfnCluster  # noqa: PLC0415

            if isinstance(candidate, CfnCluster):
                return candidate
    return None
