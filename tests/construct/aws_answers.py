"""Calls that the function makes, and answers that AWS gives to them."""

import json
from dataclasses import dataclass, field
from typing import Any, Final

_NODES: Final = {
    "NextToken": "more",
    "ClusterNodeSummaries": [
        {
            "InstanceGroupName": "workers",
            "InstanceId": "i-0123456789abcdef0",
            "NodeLogicalId": "workers-1",
            "InstanceType": "ml.p5.48xlarge",
            "LaunchTime": 1763900000.5,
            "LastSoftwareUpdateTime": 1763900001,
            "InstanceStatus": {"Status": "Running", "Message": "ok"},
            "UltraServerInfo": {"Id": "u-1"},
            "PrivateDnsHostname": "ip-10-1-2-3.us-west-2.compute.internal",
        }
    ],
}
_CLUSTER: Final = {
    "ClusterArn": "arn:aws:sagemaker:us-west-2:111122223333:cluster/a1b2c3d4e5f6",
    "ClusterName": "ml-cluster",
    "ClusterStatus": "InService",
    "CreationTime": 1763900000,
    "NodeProvisioningMode": "Continuous",
    "NodeRecovery": "Automatic",
    "AutoScaling": {"Mode": "Enable", "AutoScalerType": "Karpenter", "Status": "InService"},
    "InstanceGroups": [
        {
            "InstanceGroupName": "controllers",
            "CurrentCount": 1,
            "TargetCount": 1,
            "SlurmConfig": {"NodeType": "Controller", "PartitionNames": ["dev"]},
            "InstanceStorageConfigs": [{"EbsVolumeConfig": {"VolumeSizeInGB": 500}}],
        }
    ],
    "Orchestrator": {"Eks": {"ClusterArn": "arn:aws:eks:us-west-2:111122223333:cluster/a"}},
    "Unmodelled": {"Member": 1},
}
_DELETED: Final = {
    "Successful": ["i-0123456789abcdef0"],
    "SuccessfulNodeLogicalIds": ["workers-1"],
    "Failed": [{"NodeId": "i-0123456789abcdef1", "Code": "NodeIdInUse", "Message": "in use"}],
    "FailedNodeLogicalIds": [
        {"NodeLogicalId": "workers-2", "Code": "SomethingNew", "Message": "unknown"}
    ],
}
_STACKS: Final = """<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">
<DescribeStacksResult><Stacks><member><StackName>ml</StackName><StackId>arn:aws:x</StackId>
<CreationTime>2025-11-23T12:00:00.123Z</CreationTime><StackStatus>UPDATE_ROLLBACK_IN_PROGRESS</StackStatus>
<DisableRollback>false</DisableRollback><Outputs><member><OutputKey>Outcome</OutputKey>
<OutputValue>PARTIAL</OutputValue></member></Outputs><Tags/><Unmodelled>1</Unmodelled></member></Stacks>
</DescribeStacksResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata>
</DescribeStacksResponse>"""
_STACK_ERROR: Final = """<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">
<Error><Type>Sender</Type><Code>ValidationError</Code><Message>No such stack</Message></Error>
<RequestId>r-2</RequestId></ErrorResponse>"""


def _error(code: str) -> str:
    return json.dumps({"__type": f"com.amazonaws.sagemaker#{code}", "Message": "not now"})


@dataclass(frozen=True)
class Call:
    """One call and the answer to it."""

    name: str
    service: str
    method: str
    arguments: dict[str, Any]
    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)


_DELETE: Final = {"ClusterName": "ml", "NodeIds": ["i-01234567"]}
_INVOKE: Final = {"FunctionName": "again", "InvocationType": "Event", "Payload": b'{"link": 2}'}
_ENTRY: Final = {
    "Source": "hyperpod.node-removal",
    "DetailType": "HyperPod Node Removal Finished",
    "Detail": '{"Outcome":"PARTIAL"}',
    "EventBusName": "arn:aws:events:us-west-2:111122223333:event-bus/operations",
    "Resources": ["arn:aws:x"],
}
_TAKEN: Final = {
    "FailedEntryCount": 1,
    "Entries": [{"EventId": "e-1"}, {"ErrorCode": "InternalFailure", "ErrorMessage": "later"}],
}
_NO_EVENT: Final = json.dumps({"__type": "InternalException", "message": "later"})
_THROTTLED: Final = {"x-amzn-ErrorType": "TooManyRequestsException"}

CALLS: Final = (
    Call(
        "nodes", "sagemaker", "list_cluster_nodes", {"ClusterName": "ml"}, 200, json.dumps(_NODES)
    ),
    Call(
        "no-nodes",
        "sagemaker",
        "list_cluster_nodes",
        {"ClusterName": "ml", "MaxResults": 100, "IncludeNodeLogicalIds": True, "NextToken": "t"},
        200,
        "{}",
    ),
    Call(
        "no-cluster",
        "sagemaker",
        "list_cluster_nodes",
        {"ClusterName": "ml"},
        400,
        _error("ResourceNotFound"),
    ),
    Call(
        "cluster", "sagemaker", "describe_cluster", {"ClusterName": "ml"}, 200, json.dumps(_CLUSTER)
    ),
    Call(
        "deleted",
        "sagemaker",
        "batch_delete_cluster_nodes",
        _DELETE | {"NodeLogicalIds": ["workers-1"]},
        200,
        json.dumps(_DELETED),
    ),
    Call(
        "refused",
        "sagemaker",
        "batch_delete_cluster_nodes",
        _DELETE,
        400,
        _error("ValidationException"),
    ),
    Call(
        "throttled",
        "sagemaker",
        "batch_delete_cluster_nodes",
        _DELETE,
        400,
        _error("ThrottlingException"),
    ),
    Call("stack", "cloudformation", "describe_stacks", {"StackName": "arn:aws:x"}, 200, _STACKS),
    Call("no-stack", "cloudformation", "describe_stacks", {"StackName": "ml"}, 400, _STACK_ERROR),
    Call("announced", "events", "put_events", {"Entries": [_ENTRY]}, 200, json.dumps(_TAKEN)),
    Call("not-announced", "events", "put_events", {"Entries": [_ENTRY]}, 500, _NO_EVENT),
    Call("invoked", "lambda", "invoke", _INVOKE, 202, ""),
    Call(
        "not-invoked",
        "lambda",
        "invoke",
        _INVOKE,
        429,
        json.dumps({"Message": "slow down", "Reason": "CallerRateLimitExceeded"}),
        _THROTTLED,
    ),
)
"""At least one success and one error for each operation."""
