"""Events of any shape: the function never raises, logs a raw byte, or replies twice."""

import base64
import json
import math
import zlib
from collections.abc import Callable
from itertools import product
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperpod_node_removal_contract import Property
from hyperpod_node_removal_handler.handover import KEY, Continuation
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.request import RemovalRequest
from tests.faults.cloudformation import LOGICAL_ID, Request, View
from tests.faults.conftest import Tally
from tests.faults.fault_injection import PUT
from tests.faults.sampling import examples, sample
from tests.faults.simulation import Simulation
from tests.faults.timeline import START

GROUP = "6 input"
FUZZ = settings(max_examples=examples(150), deadline=None, derandomize=True, database=None)

HOSTILE = (
    "\x1b[31mred\x1b[0m",
    "i-0123456789abcdef0\nERROR forged line",
    "i-0123456789abcdef0\r",
    "\x1b]0;title\x07",
    "\u202egnidnammoc\u202c",
    "\x00",
    "\u2028\u2029\x85",
    "\ud800",
    "🦄" * 300,
    "i-" + "\N{FULLWIDTH DIGIT ZERO}" * 8,
    "${AWS::StackName}",
    "%s %d {0} {}",
    "'; DROP TABLE nodes; --",
    "arn:aws:sagemaker:us-east-1:123456789012:cluster/\n",
    "x" * 100_000,
    ",,,,",
    " ",
)
text = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), text),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(text, inner, max_size=4)),
    max_leaves=10,
)
with Simulation() as _sim:
    NODES = _sim.cluster().node_ids("workers")
VALID: dict[str, list[Any]] = {
    Property.CLUSTER_NAME: ["ml-cluster", "no-such-cluster"],
    Property.NODE_IDS: [list(NODES[:2]), ",".join(NODES[:3]), [""], "", [NODES[0], NODES[0]]],
    Property.NODE_LOGICAL_IDS: [[], "", ["workers-5bbaa1e2"]],
    Property.ON_PARTIAL_FAILURE: ["FAIL", "REPORT"],
    Property.WAIT_FOR: ["REMOVED", "ACCEPTED"],
    Property.DRY_RUN: ["true", "false", True],
    Property.MIN_REMAINING: [{}, {"workers": "1"}, {"workers": 6}, {"unknown": "1"}],
    Property.MAX_REMOVALS: ["", "1", 100],
    Property.PROTECTED_GROUPS: [[], ["workers"], "workers"],
    Property.EXPECTED_GROUPS: [[], ["workers"], ["others"]],
    Property.MISSING_NODES: ["ACCEPT", "FAIL"],
    Property.RETRY_FOR: ["0", "60", 5],
    Property.RETRY_TOKEN: ["", "2"],
    Property.SERVICE_TIMEOUT: ["60", "3600"],
    Property.SERVICE_TOKEN: ["arn:aws:lambda:us-east-1:123456789012:function:removal"],
}


@st.composite
def nearly_valid(draw: st.DrawFn) -> Any:
    """Draw properties of which all but one or two are valid."""
    names = draw(st.sets(st.sampled_from(sorted(VALID)), max_size=6))
    node_ids = draw(st.sampled_from([NODES[:1], NODES[:2], ()]))
    properties: dict[str, Any] = {"ClusterName": "ml-cluster", "NodeIds": list(node_ids)}
    properties |= {name: draw(st.sampled_from(VALID[name])) for name in names}
    for _ in range(draw(st.integers(0, 2))):
        properties[draw(st.one_of(st.sampled_from(sorted(VALID)), text))] = draw(values)
    return properties


def event(**more: Any) -> dict[str, Any]:
    return {
        "RequestType": "Create",
        "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/ml-stack/6d1f0c2e-9a56",
        "RequestId": "0d4c4f8a-3f9b-4a7c-9a41-5a6f0f5d1e11",
        "LogicalResourceId": LOGICAL_ID,
        "ResponseURL": "https://response.example/?X-Amz-Signature=s3cret",
        "ResourceProperties": {"ClusterName": "ml-cluster"},
        **more,
    }


def survive(given: object, *, is_unreachable: bool = False) -> list[dict[str, Any]]:
    """Send an event to the function, check what it does, and return its replies."""
    bodies: list[bytes] = []
    with Simulation() as sim:
        cluster = sim.cluster()
        stack = sim.stack()
        stack.forced = View(START, "CREATE_IN_PROGRESS", START)
        request = Request(stack, {"ResourceProperties": {}}, "", stack.view, lambda _: None)
        answers: dict[str, Any] = {
            "describe": lambda _: {"Stacks": [stack.describe()]},
            "request_of": lambda _: request,
            "receive": lambda _, sent: bodies.append(sent.body),
        }
        if is_unreachable:
            sim.injector.fail(PUT, OSError, times=math.inf)
        with patch.multiple(sim.cloudformation, **answers):
            sim.functions.deliver(json.dumps(given).encode())
            sim.run()
        for invocation in sim.functions.invocations:
            assert invocation.end == "returned", invocation.error
            for line in invocation.log:
                assert line.isascii(), line
                assert line.isprintable(), line
                assert "s3cret" not in line
        allowed = json.dumps(given)
        for deletion in sim.deletions:
            assert all(name in allowed or KEY in allowed for name in deletion.identifiers)
        assert cluster.present >= set(NODES[3:])
    assert len(bodies) <= 1
    for body in bodies:
        assert len(body) <= 4096
        assert body.decode("ascii").isprintable()
        content = json.loads(body)
        assert content["Reason"].isprintable()
        assert all(value.isprintable() for value in content["Data"].values())
    return [json.loads(body) for body in bodies]


@pytest.mark.parametrize("request_type", ["Create", "Update", "Delete"])
def test_nearly_valid_properties_get_one_reply(request_type: str, tally: Tally) -> None:
    outcomes: set[str] = set()

    @FUZZ
    @given(nearly_valid())
    def each(properties: Any) -> None:
        with tally.fault(repr(properties)):
            (answer,) = survive(event(RequestType=request_type, ResourceProperties=properties))
            assert answer["Status"] == "SUCCESS" or request_type != "Delete"
            outcomes.add(answer["Data"]["Outcome"])
            assert "unexpectedly" not in answer["Reason"]

    each()
    # Enough of the properties are valid.
    assert request_type == "Delete" or outcomes >= {"COMPLETE", "EMPTY", "FAILED", "PLANNED"}


def test_the_function_survives_any_event(tally: Tally) -> None:
    keys = st.sampled_from([*event(), "PhysicalResourceId", KEY, "CrHelperPoll", "CrHelperData"])

    @FUZZ
    @given(st.one_of(values, st.dictionaries(keys, values).map(lambda given: event(**given))))
    def each(given: Any) -> None:
        with tally.fault(repr(given)[:200]):
            survive(given)

    each()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "http://response.example/",
        "file:///etc/passwd",
        "https://",
        "https://[/",
        "https://response.example:port/",
        "https://user:password@response.example/",
        "https://response.example:99999/",
        "https://\u2028.example/",
        "https://response.example/\x1b[31m?a=\ud800",
        "https://" + "a" * 300 + "/",
    ],
)
@pytest.mark.parametrize("request_type", ["Create", "Delete", "Rename"])
def test_the_function_survives_an_invalid_response_url(
    url: str, request_type: str, tally: Tally
) -> None:
    with tally.fault(repr(url)):
        survive(event(RequestType=request_type, ResponseURL=url), is_unreachable=True)


def plain_continuation() -> dict[str, Any]:
    request = RemovalRequest(cluster="ml-cluster", node_ids=tuple(NODES[:2]))
    continuation = Continuation(request, Removal.of(NODES[:2], ()), START - 100, 9)
    plain: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(continuation.to_text())))
    return plain


def test_the_function_survives_a_malformed_continuation(tally: Tally) -> None:
    """Only the function writes continuations, but one version may read another's."""

    @FUZZ
    @given(st.data())
    def each(data: st.DataObject) -> None:
        plain: Any = plain_continuation()
        at: Any = plain
        while True:
            key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
            if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.booleans()):
                break
            at = at[key]
        if data.draw(st.booleans()):
            del at[key]
        elif key not in {"link", "started"}:
            at[key] = data.draw(values)
        packed = base64.b64encode(zlib.compress(json.dumps(plain).encode())).decode()
        with tally.fault(repr(plain)):
            (_,) = survive(event(**{KEY: packed}))

    each()


def test_too_many_ids_are_rejected_with_their_number(tally: Tally) -> None:
    for kind, count, is_text in product(("NodeIds", "NodeLogicalIds"), (3001, 10_000), (0, 1)):
        ids = [f"i-{n:017x}" if kind == "NodeIds" else f"workers-{n}" for n in range(count)]
        with tally.fault(f"{count} {kind}"):
            properties = {"ClusterName": "ml-cluster", kind: ",".join(ids) if is_text else ids}
            (answer,) = survive(event(ResourceProperties=properties))
            assert f"name {count} nodes; allowed: 3000" in answer["Reason"]


def test_the_function_survives_hostile_text_in_any_property(tally: Tally) -> None:
    shapes: tuple[Callable[[str], object], ...] = (
        str,
        lambda s: [s],
        lambda s: [[s]],
        lambda s: {s: s},
    )
    keys = ("ClusterName", "NodeIds", "NodeLogicalIds", "RetryToken", "MinRemaining")
    for hostile, key, shape in sample(HOSTILE, keys, shapes):
        with tally.fault(f"{key}: {shape(hostile)!r}"[:200]):
            properties = {"ClusterName": "ml-cluster", key: shape(hostile), hostile: "1"}
            survive(event(ResourceProperties=properties))
    for hostile, key in sample(
        HOSTILE, ("StackId", "RequestId", "LogicalResourceId", "PhysicalResourceId")
    ):
        with tally.fault(f"{key}: {hostile!r}"[:200]):
            survive(event(**{key: hostile, "RequestType": "Delete"}))


def test_deeply_nested_properties_are_rejected(tally: Tally) -> None:
    deep: Any = "i-0123456789abcdef0"
    for _ in range(300):
        deep = [deep]
    for key in ("NodeIds", "ClusterName", "MinRemaining"):
        with tally.fault(key):
            (answer,) = survive(event(ResourceProperties={"ClusterName": "ml-cluster", key: deep}))
            assert answer["Status"] == "FAILED"
