"""The botocore models that the function carries, against those they were made from."""

from io import BytesIO
from typing import Any, Final

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session

from hyperpod_node_removal._provider import MODELS_PATH
from scripts.prune_botocore_models import DATA, OPERATIONS, pruned_models
from tests.construct.aws_answers import CALLS, Call

REGION: Final = "us-west-2"
HOSTS: Final = {
    "cloudformation": f"cloudformation.{REGION}.amazonaws.com",
    "events": f"events.{REGION}.amazonaws.com",
    "lambda": f"lambda.{REGION}.amazonaws.com",
    "sagemaker": f"api.sagemaker.{REGION}.amazonaws.com",
}
SENT_HEADERS: Final = frozenset({"Content-Type", "X-Amz-Invocation-Type", "X-Amz-Target"})


class _Raw(BytesIO):
    """The body of an answer, as botocore reads it from urllib3."""

    def stream(self, **_: object) -> list[bytes]:
        return [self.read()]


def make_client(service: str, *, data_path: str | None) -> Any:
    session = Session()
    session.set_credentials("testing", "testing")  # nothing is sent
    if data_path:
        session.set_config_variable("data_path", data_path)
    config = Config(retries={"total_max_attempts": 1})
    return session.create_client(service, region_name=REGION, config=config)


Clients = dict[tuple[str, bool], Any]


@pytest.fixture(scope="module")
def clients() -> Clients:
    """A client by service, and whether it has the carried model."""
    return {
        (service, carried): make_client(service, data_path=str(DATA) if carried else None)
        for service, _ in OPERATIONS
        for carried in (False, True)
    }


def exchange(client: Any, call: Call) -> Any:
    """What a client sends for a call, and what it makes of the answer."""
    sent: list[AWSPreparedRequest] = []

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        sent.append(request)
        headers = {"x-amzn-RequestId": "r-1", **call.headers}
        return AWSResponse(request.url, call.status, headers, _Raw(call.body.encode()))

    client.meta.events.register("before-send", answer)
    try:
        outcome = getattr(client, call.method)(**call.arguments)
        if "Payload" in outcome:
            outcome["Payload"] = outcome["Payload"].read()
    except ClientError as error:
        outcome = (type(error).__name__, error.response)
    finally:
        client.meta.events.unregister("before-send", answer)
    (request,) = sent
    headers = {name: request.headers[name] for name in request.headers if name in SENT_HEADERS}
    return (request.method, request.url, request.body, headers), outcome


@pytest.mark.parametrize("call", CALLS, ids=[call.name for call in CALLS])
def test_a_client_sends_and_reads_the_same(clients: Clients, call: Call) -> None:
    full, carried = clients[call.service, False], clients[call.service, True]
    assert exchange(carried, call) == exchange(full, call)


@pytest.mark.parametrize("call", CALLS, ids=[call.name for call in CALLS])
def test_an_answer_is_read_at_all(clients: Clients, call: Call) -> None:
    (_, url, _, headers), outcome = exchange(clients[call.service, True], call)
    assert url.startswith(f"https://{HOSTS[call.service]}/")
    assert headers
    response = outcome if isinstance(outcome, dict) else outcome[1]
    assert response["ResponseMetadata"]["HTTPStatusCode"] == call.status


def test_the_carried_models_are_those_of_the_installed_botocore() -> None:
    found = {
        path.relative_to(DATA).as_posix(): path.read_text(encoding="ascii")
        for path in DATA.rglob("*.json")
    }
    assert found == pruned_models(), "run scripts/prune_botocore_models.py"


def test_the_carried_models_are_the_ones_used(clients: Clients) -> None:
    for (service, _), operations in OPERATIONS.items():
        model = clients[service, True].meta.service_model
        assert tuple(model.operation_names) == operations


def test_modelled_errors_stay_catchable(clients: Clients) -> None:
    client = clients["sagemaker", True]
    (call,) = (call for call in CALLS if call.name == "no-cluster")
    _, (name, _) = exchange(client, call)
    assert name == client.exceptions.ResourceNotFound.__name__


def test_the_environment_of_the_function_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBDA_TASK_ROOT", str(DATA.parent.parent))
    monkeypatch.setenv("AWS_DATA_PATH", MODELS_PATH)
    client = make_client("sagemaker", data_path=None)
    assert len(client.meta.service_model.operation_names) == 3
