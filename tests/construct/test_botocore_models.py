"""The botocore models of the function, compared with those they are made from."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from io import BytesIO
from typing import Any, Final

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session

from hyperpod_node_removal_handler import aws
from hyperpod_node_removal_handler.cluster import Cluster
from hyperpod_node_removal_handler.stack import describe_stack
from release.botocore_models import DATA, OPERATIONS, pruned_models

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
    response: Mapping[str, Any] | str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def service(self) -> str:
        others = {"describe_stacks": "cloudformation", "put_events": "events", "invoke": "lambda"}
        return others.get(self.method, "sagemaker")

    @property
    def body(self) -> str:
        return self.response if isinstance(self.response, str) else json.dumps(self.response)


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

REGION: Final = "us-west-2"
HOSTS: Final = {
    "cloudformation": f"cloudformation.{REGION}.amazonaws.com",
    "events": f"events.{REGION}.amazonaws.com",
    "lambda": f"lambda.{REGION}.amazonaws.com",
    "sagemaker": f"api.sagemaker.{REGION}.amazonaws.com",
}
CALLS_BY_NAME: Final = {call.name: call for call in CALLS}
SENT_HEADERS: Final = frozenset({"Content-Type", "X-Amz-Invocation-Type", "X-Amz-Target"})


class _Raw(BytesIO):
    """The body of a response, as botocore reads it from urllib3."""

    def stream(self, **_: object) -> list[bytes]:
        return [self.read()]


@cache
def session(*, carried: bool) -> Session:
    """A session with the carried models, as the function creates it, or with the whole ones."""
    found = aws._session.__wrapped__() if carried else Session()
    found.set_credentials("testing", "testing")  # nothing is sent
    return found


def make_client(service: str, *, carried: bool, region: str = REGION, **more: Any) -> Any:
    config = Config(retries={"total_max_attempts": 1}, **more)
    return session(carried=carried).create_client(
        service, api_version=aws.API_VERSIONS[service], region_name=region, config=config
    )


Clients = dict[tuple[str, bool], Any]


@pytest.fixture(scope="module")
def clients() -> Clients:
    """A client by service, and whether it has the carried model."""
    return {
        (service, carried): make_client(service, carried=carried)
        for service, _ in OPERATIONS
        for carried in (False, True)
    }


def exchange(client: Any, call: Call) -> Any:
    """Return what a client sends for a call, and what it reads from the response."""
    sent: list[AWSPreparedRequest] = []
    with responding(client, call, sent):
        try:
            outcome = getattr(client, call.method)(**call.arguments)
            if "Payload" in outcome:
                outcome["Payload"] = outcome["Payload"].read()
        except ClientError as error:
            outcome = error.response
    (request,) = sent
    headers = {name: request.headers[name] for name in request.headers if name in SENT_HEADERS}
    return (request.method, request.url, request.body, headers), outcome


@contextmanager
def responding(client: Any, call: Call, sent: list[AWSPreparedRequest]) -> Iterator[None]:
    """Keep all that the client sends in `sent`, and send back the response of the call."""

    def respond(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        sent.append(request)
        headers = {"x-amzn-RequestId": "r-1", **call.headers}
        return AWSResponse(request.url, call.status, headers, _Raw(call.body.encode()))

    client.meta.events.register("before-send", respond)
    try:
        yield
    finally:
        client.meta.events.unregister("before-send", respond)


def is_part_of(part: Any, whole: Any) -> bool:
    """Whether `part` says nothing that `whole` does not say."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and is_part_of(part[key], whole[key]) for key in part)
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) == len(whole) and all(map(is_part_of, part, whole))
    return bool(part == whole)


@pytest.mark.parametrize("call", CALLS, ids=[call.name for call in CALLS])
def test_a_client_sends_the_same_and_reads_nothing_else(clients: Clients, call: Call) -> None:
    sent, outcome = exchange(clients[call.service, False], call)
    sent_carried, outcome_carried = exchange(clients[call.service, True], call)
    assert sent_carried == sent
    assert is_part_of(outcome_carried, outcome)
    _, url, _, headers = sent_carried
    assert url.startswith(f"https://{HOSTS[call.service]}/")
    assert headers
    assert outcome_carried["ResponseMetadata"]["HTTPStatusCode"] == call.status


LAST_PAGE: Final = replace(
    CALLS_BY_NAME["nodes"], response=CALLS_BY_NAME["nodes"].body.replace("more", "")
)
READINGS: Final[dict[str, Callable[[Any], object]]] = {
    "nodes": lambda client: client.list_cluster_nodes(ClusterName="ml")["NextToken"],
    "last-page": lambda client: Cluster("ml", client).nodes().nodes[0],
    "no-nodes": lambda client: client.list_cluster_nodes(ClusterName="ml"),
    "cluster": lambda client: Cluster("ml", client).describe(),
    "deleted": lambda client: Cluster("ml", client).delete(["i-01234567"], ["workers-1"]),
    "stack": lambda client: describe_stack(client, "arn:aws:x"),
    "invoked": lambda client: client.invoke(**CALLS_BY_NAME["invoked"].arguments)["StatusCode"],
}
"""What the function makes of each response that is not an error."""


@pytest.mark.parametrize("name", READINGS)
def test_the_function_reads_the_same(clients: Clients, name: str) -> None:
    call = LAST_PAGE if name == "last-page" else CALLS_BY_NAME[name]
    readings = []
    for carried in (False, True):
        client = clients[call.service, carried]
        with responding(client, call, []):
            readings.append(READINGS[name](client))
    assert readings[0] == readings[1]


def test_the_carried_models_are_those_of_the_installed_botocore() -> None:
    found = {
        path.relative_to(DATA).as_posix(): path.read_text(encoding="ascii")
        for path in DATA.rglob("*.json")
    }
    assert found == pruned_models(), "run release/botocore_models.py"


def test_the_carried_models_are_the_ones_used(clients: Clients) -> None:
    for (service, _), operations in OPERATIONS.items():
        model = clients[service, True].meta.service_model
        assert tuple(model.operation_names) == operations


def regions() -> list[str]:
    """Two regions of each partition."""
    session = Session()
    found = []
    for partition in session.get_available_partitions():
        found += session.get_available_regions("cloudformation", partition)[:2]
    return found


def destination(service: str, *, carried: bool, region: str, **more: Any) -> tuple[str, str]:
    """The URL that a call goes to, and the scope that it is signed for."""
    call = next(call for call in CALLS if call.service == service)
    client = make_client(service, carried=carried, region=region, **more)
    sent: list[AWSPreparedRequest] = []
    with responding(client, call, sent):
        getattr(client, call.method)(**call.arguments)
    scope = str(sent[0].headers["Authorization"]).partition(",")[0].split("/", 2)[2]
    return str(sent[0].url), scope


@pytest.mark.slow
@pytest.mark.parametrize("region", regions())
@pytest.mark.parametrize("service", [service for service, _ in OPERATIONS])
def test_a_call_goes_to_the_same_place_in_every_partition(service: str, region: str) -> None:
    url, scope = destination(service, carried=True, region=region)
    assert (url, scope) == destination(service, carried=False, region=region)
    assert f".{region}." in url
    assert scope == f"{region}/{service}/aws4_request"


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["use_fips_endpoint", "use_dualstack_endpoint"])
@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1"])
@pytest.mark.parametrize("service", [service for service, _ in OPERATIONS])
def test_a_variant_of_an_endpoint_is_the_same(service: str, region: str, variant: str) -> None:
    more: dict[str, Any] = {"region": region, variant: True}
    carried = destination(service, carried=True, **more)
    assert carried == destination(service, carried=False, **more)
