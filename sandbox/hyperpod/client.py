"""A SageMaker client that calls the model directly: botocore's errors without its protocol."""

from typing import Any

from botocore.exceptions import ClientError

from sandbox.hyperpod.faults import ServiceError
from sandbox.hyperpod.service import HyperPod


class SageMaker:
    """The calls on cluster nodes, with the signatures of boto3's client."""

    def __init__(self, hp: HyperPod) -> None:
        self._hp = hp

    def describe_cluster(self, **request: Any) -> dict[str, Any]:
        return self._call("DescribeCluster", request)

    def describe_cluster_node(self, **request: Any) -> dict[str, Any]:
        return self._call("DescribeClusterNode", request)

    def list_cluster_nodes(self, **request: Any) -> dict[str, Any]:
        return self._call("ListClusterNodes", request)

    def batch_delete_cluster_nodes(self, **request: Any) -> dict[str, Any]:
        return self._call("BatchDeleteClusterNodes", request)

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._hp.call(operation, request)
        except ServiceError as error:
            raise client_error(operation, error.code, error.message, error.status) from error


def client_error(operation: str, code: str, message: str = "", status: int = 400) -> ClientError:
    """Return the error that a client raises for an error response."""
    return ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status},
        },
        operation,
    )
