"""Resource types that ministack's CloudFormation lacks, and DescribeCluster of EKS.

`AWS::SageMaker::Cluster` is created, updated and deleted by calls of SageMaker's API, as in AWS;
`Ref` is the ARN. Unlike in AWS, it is complete at once, and only the counts of its groups are
updated. `AWS::EKS::AccessEntry` does nothing. DescribeCluster responds for the clusters of
`sandbox.schedulers.eks_cluster` (ministack would start a container for one).
"""

import os
from functools import cache
from pathlib import Path
from typing import Any, Final

import boto3
from ministack.services.cloudformation import provisioners

from sandbox.engine import EKS_FOLDER

_EKS_PATH: Final = "/clusters/"
# The properties that the model supports; others are not sent.
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

Properties = dict[str, Any]


def install() -> None:
    """Change ministack's CloudFormation in this process."""
    provisioners._RESOURCE_HANDLERS["AWS::EKS::AccessEntry"] = {
        "create": lambda logical_id, _, stack_name: (f"{stack_name}/{logical_id}", {}),
        "delete": lambda *_: None,
    }
    provisioners._RESOURCE_HANDLERS["AWS::SageMaker::Cluster"] = {
        "create": _create,
        "update": _update,
        "delete": lambda physical_id, _: _sagemaker().delete_cluster(ClusterName=physical_id),
    }


def eks_cluster(directory: Path, path: str) -> bytes | None:
    """Return the response of DescribeCluster; None if the path is not that of a known cluster."""
    name = path.removeprefix(_EKS_PATH)
    file = directory / EKS_FOLDER / f"{name}.json"
    if not path.startswith(_EKS_PATH) or not name.replace("-", "").isalnum() or not file.exists():
        return None
    return file.read_bytes()


@cache
def _sagemaker() -> Any:
    return boto3.session.Session().client(
        "sagemaker",
        region_name="us-east-1",
        endpoint_url=os.environ["AWS_ENDPOINT_URL_SAGEMAKER"],
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


def _create(logical_id: str, props: Properties, stack_name: str) -> tuple[str, dict[str, Any]]:
    name = props.get("ClusterName") or f"{stack_name}-{logical_id}"
    created = _sagemaker().create_cluster(**_request({**props, "ClusterName": name}))
    return _made(created["ClusterArn"])


def _update(
    physical_id: str, _: Properties, props: Properties, __: str
) -> tuple[str, dict[str, Any]]:
    groups = _request(props)["InstanceGroups"]
    _sagemaker().update_cluster(ClusterName=physical_id, InstanceGroups=groups)
    return _made(physical_id)


def _made(arn: str) -> tuple[str, dict[str, Any]]:
    """Return the physical id and the attributes of a cluster."""
    cluster = _sagemaker().describe_cluster(ClusterName=arn)
    return arn, {"ClusterArn": arn, "ClusterStatus": cluster["ClusterStatus"]}


def _request(props: Properties) -> dict[str, Any]:
    """Return properties as the API takes them: the names are the same, but counts may be text."""
    groups = [
        {
            **{key: value for key, value in group.items() if key in _GROUP},
            "InstanceCount": int(group["InstanceCount"]),
        }
        for group in props.get("InstanceGroups", ())
    ]
    return {key: props[key] for key in _CLUSTER if key in props} | {"InstanceGroups": groups}
