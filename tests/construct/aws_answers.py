"""Calls of the function, and the responses of AWS."""

import json
from collections.abc import Mapping
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


def _error(code: str) -> dict[str, str]:
    return {"__type": f"com.amazonaws.sagemaker#{code}", "Message": "not now"}


@dataclass(frozen=True)
class Call:
    """One call and its response."""

    name: str
    method: str
    arguments: Mapping[str, Any]
    answer: Mapping[str, Any] | str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def service(self) -> str:
        others = {"describe_stacks": "cloudformation", "put_events": "events", "invoke": "lambda"}
        return others.get(self.method, "sagemaker")

    @property
    def body(self) -> str:
        return self.answer if isinstance(self.answer, str) else json.dumps(self.answer)


_CLUSTER_NAME: Final = {"ClusterName": "ml"}
_MORE: Final = {"MaxResults": 100, "IncludeNodeLogicalIds": True, "NextToken": "t"}
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
_NO_EVENT: Final = {"__type": "InternalException", "message": "later"}
_BUSY: Final = {"Message": "slow down", "Reason": "CallerRateLimitExceeded"}
_THROTTLED: Final = {"x-amzn-ErrorType": "TooManyRequestsException"}
_BATCH: Final = "batch_delete_cluster_nodes"

CALLS: Final = (
    Call("nodes", "list_cluster_nodes", _CLUSTER_NAME, _NODES),
    Call("no-nodes", "list_cluster_nodes", _CLUSTER_NAME | _MORE, {}),
    Call("no-cluster", "list_cluster_nodes", _CLUSTER_NAME, _error("ResourceNotFound"), 400),
    Call("cluster", "describe_cluster", _CLUSTER_NAME, _CLUSTER),
    Call("deleted", _BATCH, _DELETE | {"NodeLogicalIds": ["workers-1"]}, _DELETED),
    Call("refused", _BATCH, _DELETE, _error("ValidationException"), 400),
    Call("throttled", _BATCH, _DELETE, _error("ThrottlingException"), 400),
    Call("stack", "describe_stacks", {"StackName": "arn:aws:x"}, _STACKS),
    Call("no-stack", "describe_stacks", {"StackName": "ml"}, _STACK_ERROR, 400),
    Call("announced", "put_events", {"Entries": [_ENTRY]}, _TAKEN),
    Call("not-announced", "put_events", {"Entries": [_ENTRY]}, _NO_EVENT, 500),
    Call("invoked", "invoke", _INVOKE, "", 202),
    Call("not-invoked", "invoke", _INVOKE, _BUSY, 429, _THROTTLED),
)
"""At least one success and one error for each operation."""
