"""`AWS::SageMaker::Cluster` in the engine's CloudFormation, served by the model of HyperPod.

Filled in: create, update and delete call SageMaker's API, as CloudFormation does; `Ref` is the ARN.
Not as on AWS: the resource is complete at once, and nothing but the groups' counts is updated.
"""

import os
from functools import cache
from typing import Any, Final

import boto3
from ministack.services.cloudformation import provisioners

from sandbox.engine.internals import internal

TYPE: Final = "AWS::SageMaker::Cluster"

# What the model knows of a cluster and of its groups; the rest of a template is not sent.
_CLUSTER: Final = (
    "AutoScaling",
    "ClusterName",
    "NodeProvisioningMode",
    "NodeRecovery",
    "Orchestrator",
)
_GROUP: Final = (
    "ExecutionRole",
    "InstanceGroupName",
    "InstanceType",
    "LifeCycleConfig",
    "SlurmConfig",
)


def install() -> None:
    """Add the type to ministack's CloudFormation in this process."""
    internal(provisioners, "_RESOURCE_HANDLERS")[TYPE] = {
        "create": _create,
        "update": _update,
        "delete": _delete,
    }


@cache
def _sagemaker() -> Any:
    return boto3.session.Session().client(
        "sagemaker",
        region_name="us-east-1",
        endpoint_url=os.environ["AWS_ENDPOINT_URL_SAGEMAKER"],
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


def _create(logical_id: str, props: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
    name = props.get("ClusterName") or f"{stack_name}-{logical_id}"
    answer = _sagemaker().create_cluster(**_request({**props, "ClusterName": name}))
    return _described(answer["ClusterArn"])


def _update(
    physical_id: str,
    old_props: dict[str, Any],  # noqa: ARG001 - the signature is ministack's
    new_props: dict[str, Any],
    stack_name: str,  # noqa: ARG001
) -> tuple[str, dict[str, Any]]:
    groups = _request(new_props)["InstanceGroups"]
    _sagemaker().update_cluster(ClusterName=physical_id, InstanceGroups=groups)
    return _described(physical_id)


def _delete(physical_id: str, props: dict[str, Any]) -> None:  # noqa: ARG001
    _sagemaker().delete_cluster(ClusterName=physical_id)


def _described(arn: str) -> tuple[str, dict[str, Any]]:
    cluster = _sagemaker().describe_cluster(ClusterName=arn)
    return arn, {"ClusterArn": arn, "ClusterStatus": cluster["ClusterStatus"]}


def _request(props: dict[str, Any]) -> dict[str, Any]:
    """Properties as the API takes them: the names are the same, but numbers may come as text."""
    groups = [
        {
            **{key: value for key, value in group.items() if key in _GROUP},
            "InstanceCount": int(group["InstanceCount"]),
        }
        for group in props.get("InstanceGroups", ())
    ]
    return {key: props[key] for key in _CLUSTER if key in props} | {"InstanceGroups": groups}
