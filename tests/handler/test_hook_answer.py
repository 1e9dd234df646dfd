"""The hook's answer: read strictly, and anything but a clear PROCEED removes nothing."""

import json
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from hyperpod_node_removal_handler.before_removal import ANSWER_MAX, Decision, HookError, verdict
from hyperpod_node_removal_handler.cluster import Node
from sandbox.hyperpod import ServiceError
from tests.handler.function import HOOK, Raised
from tests.handler.world import World

FIRST = Node("i-0123456789abcdef0", "", "workers", "Running")
SECOND = Node("i-0123456789abcdef1", "workers-1", "workers", "Running")
PENDING = Node("", "workers-2", "workers", "Pending")
SHOWN = (FIRST, SECOND, PENDING)

NOT_ALLOWED = (
    "User: x is not authorized to perform: lambda:InvokeFunction on resource: y because no"
    " identity-based policy allows the lambda:InvokeFunction action"
)
NOT_JSON = "returned something that is not JSON"


@pytest.mark.parametrize(
    ("hook", "sentence"),
    [
        (None, "the hook drain:live returned 'null'; allowed: {"),
        (b"", "returned 'nothing'; allowed: {"),
        ({}, "returned '{}'; allowed: {"),
        (b"PROCEED", NOT_JSON),
        (b"\xff", NOT_JSON),
        (b'{"Decision": "PROCEED"', NOT_JSON),
        (b'\xef\xbb\xbf{"Decision": "PROCEED"}', NOT_JSON),
        (b'{"Decision": "PROCEED"}' * 2, NOT_JSON),
        (b"[" * 100_000, NOT_JSON),
        (b"[" * 100_000 + b"]" * 100_000, NOT_JSON),
        (b'{"Decision": 1' + b"0" * 9_999 + b"}", NOT_JSON),
        (b'{"Decision": "PROCEED", "Reason": "' + b"x" * ANSWER_MAX, "more than 2097152 bytes"),
        (b'{"Decision": NaN}', "returned Decision 'nan'; allowed: PROCEED or VETO"),
        (b'{"Decision": "PROCEED\\ud800"}', "returned Decision 'PROCEED\\ud800'; allowed: P"),
        (b'{"Decision": "VETO", "Decision": "PROCEED"}', "the key 'Decision' more than once"),
        (
            b'{"VetoedNodes": [{"NodeId": "i-0"}], "Decision": "PROCEED", "VetoedNodes": []}',
            "returned the key 'VetoedNodes' more than once",
        ),
        ({"Decision": "proceed"}, "returned Decision 'proceed'; allowed: PROCEED or VETO"),
        (
            {"Decision": "PROCEED", "Vetoed": []},
            "returned the unknown key 'Vetoed'; allowed: Decision,",
        ),
        (
            {"Decision": "PROCEED", "VetoedNodes": [{"NodeId": "i-0"}]},
            "vetoed 'i-0', which is not a node that it was asked about",
        ),
        (
            Raised(b'{"errorMessage": "\'x\'", "errorType": "KeyError", "stackTrace": ["f"]}'),
            "the hook drain:live failed: KeyError: 'x'.",
        ),
        (Raised(b"Task timed out"), "failed: Task timed out."),
    ],
)
def test_an_answer_that_is_no_yes_removes_nothing(world: World, hook: Any, sentence: str) -> None:
    world.set_hook(hook)
    assert sentence in reason_of_refusal(world)
    assert len(world.events) == 1


CLOSED = ConnectionClosedError(endpoint_url="https://lambda")
TIMED_OUT = ReadTimeoutError(endpoint_url="https://lambda")


@pytest.mark.parametrize(
    ("errors", "sentence"),
    [
        ([TIMED_OUT], "did not respond within 720 s and may still be running (ReadTime"),
        ([CLOSED], "may still be running (ConnectionClosedError)"),
        ([ServiceError("ServiceException", status=500)], "(ServiceException)"),
        (
            [ServiceError("ResourceNotFoundException", "Function not found", 404)],
            "could not be invoked (ResourceNotFoundException: Function not found)",
        ),
        (
            [ServiceError("AccessDeniedException", NOT_ALLOWED, 403)] * 99,
            "the function's role needs lambda:InvokeFunction on it (AccessDeniedException: User: x",
        ),
        (
            [ServiceError("TooManyRequestsException", "slow", 429)] * 99,
            "could not be invoked (TooManyRequestsException: slow)",
        ),
    ],
)
def test_a_hook_that_does_not_answer_removes_nothing(
    world: World, errors: list[Exception], sentence: str
) -> None:
    world.set_hook()
    world.aws_lambda.hook_errors = list(errors)
    assert sentence in reason_of_refusal(world)
    assert world.events == [], "it is not asked again"


def reason_of_refusal(world: World) -> str:
    """Return the reason for which nothing is removed, because of what the hook does."""
    node = world.nodes[0]
    answer = world.send("Update", NodeIds=[node], BeforeRemoval=HOOK, OnPartialFailure="REPORT")
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("Nothing was removed from ml-cluster: the hook drain:live ")
    assert f"HookFailed: {node}. Fix the hook (see its log) and redeploy." in answer["Reason"]
    assert world.deletes == 0
    return str(answer["Reason"])


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("TooManyRequestsException", 429),
        ("AccessDeniedException", 403),
        ("EC2ThrottledException", 502),
        ("ENINotReadyException", 502),
        ("ResourceConflictException", 409),
        ("ResourceNotReadyException", 502),
    ],
)
def test_a_question_that_surely_was_not_heard_is_put_again(
    world: World, code: str, status: int
) -> None:
    world.aws_lambda.hook_errors = [ServiceError(code, status=status)] * 3
    node = world.nodes[0]
    assert world.send("Update", NodeIds=[node], BeforeRemoval=HOOK)["Data"]["RemovedNodes"] == node
    assert len(world.events) == 1


def test_a_hook_that_was_idle_for_weeks_is_waited_for(world: World) -> None:
    """Lambda has given up its connection to the VPC, and needs two minutes for another."""
    ready_at = world.clock.now() + 120

    def connect(_: object) -> None:
        if world.clock.now() < ready_at:
            world.aws_lambda.hook_errors = [ServiceError("ResourceNotReadyException", status=502)]

    world.before("Invoke", connect)
    node = world.nodes[0]
    assert world.succeeds("Update", NodeIds=[node], BeforeRemoval=HOOK)["RemovedNodes"] == node
    assert len(world.events) == 1


# The answer, as pure decisions ---------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=10,
)
reasons = st.text(max_size=400)
by_id = st.sampled_from(
    [
        {"NodeId": FIRST.instance_id},
        {"NodeId": SECOND.instance_id},
        {"NodeLogicalId": SECOND.logical_id},
        {"NodeId": SECOND.instance_id, "NodeLogicalId": SECOND.logical_id},
        {"NodeId": "", "NodeLogicalId": PENDING.logical_id},
    ]
)
almost = st.fixed_dictionaries(
    {"Decision": st.sampled_from([*Decision, "proceed", None]) | json_values},
    optional={"Reason": reasons | json_values, "VetoedNodes": st.lists(json_values | by_id)},
)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_nonsense_is_never_an_agreement(answer: bytes) -> None:
    with pytest.raises(HookError):
        verdict(answer, SHOWN)


@given(almost.map(lambda value: json.dumps(value).encode()))
def test_an_answer_is_understood_or_refused_with_words_that_can_be_printed(answer: bytes) -> None:
    words = ""
    try:
        given = verdict(answer, SHOWN)
    except HookError as error:
        words = str(error)
    else:
        assert json.loads(answer)["Decision"] == given.decision
    assert words.isascii()
    assert words.isprintable()
    assert len(words) < 400


@given(
    st.sampled_from([Decision.PROCEED, Decision.VETO]), reasons, st.lists(st.tuples(by_id, reasons))
)
def test_a_node_may_go_only_if_neither_it_nor_the_plan_is_vetoed(
    decision: Decision, reason: str, vetoes: list[tuple[dict[str, str], str]]
) -> None:
    entries = [{**node, "Reason": why} for node, why in vetoes]
    answer = {"Decision": decision, "Reason": reason, "VetoedNodes": entries}
    given = verdict(json.dumps(answer).encode(), SHOWN)
    named = {value for node, _ in vetoes for value in node.values() if value}
    for node in SHOWN:
        why = given.veto_of(node)
        is_vetoed = decision is Decision.VETO or bool(named & {node.instance_id, node.logical_id})
        assert (why is not None) is is_vetoed
        if why is not None:
            assert why
            assert why.isprintable()
            assert len(why) <= 300


@pytest.mark.parametrize(
    "entry",
    [
        "i-0123456789abcdef0",
        {},
        {"Reason": "x"},
        {"NodeId": 5},
        {"NodeId": ["i-0123456789abcdef0"]},
        {"NodeId": "hyperpod-i-0123456789abcdef0"},
        {"NodeId": "workers-1"},
        {"NodeId": FIRST.instance_id, "NodeLogicalId": SECOND.logical_id},
        {"NodeId": FIRST.instance_id, "Reason": 5},
        {"NodeId": FIRST.instance_id, "reason": "x"},
    ],
)
def test_a_veto_that_names_no_node_is_refused(entry: object) -> None:
    answer = {"Decision": "PROCEED", "VetoedNodes": [entry]}
    with pytest.raises(HookError):
        verdict(json.dumps(answer).encode(), SHOWN)


WAIT = {
    "Version": "2",
    "Decision": "WAIT",
    "WaitingNodes": [{"NodeId": FIRST.instance_id, "Reason": "job 17 is running"}],
    "RetryAfter": 30,
}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"Version": "3"}, "the unknown key 'Version'"),
        ({"Version": 2}, "the unknown key 'Version'"),
        ({"Decision": "wait"}, "Decision 'wait'; allowed: PROCEED or VETO or WAIT"),
        ({"WaitingNodes": []}, "WAIT without WaitingNodes"),
        ({"WaitingNodes": [{"NodeId": "i-0"}]}, "waits for 'i-0', which is not a node"),
        ({"WaitingNodes": "i-0"}, "WaitingNodes that is not a list"),
        ({"WaitingNodes": ["i-0"]}, "WaitingNodes with 'i-0', which is not an object"),
        ({"RetryAfter": 0}, "RetryAfter '0'; allowed: a whole number of seconds from 1 to 300"),
        ({"RetryAfter": 301}, "RetryAfter '301'"),
        ({"RetryAfter": "30"}, "RetryAfter '30'"),
        ({"RetryAfter": True}, "RetryAfter 'True'"),
        ({"RetryAfter": None}, "RetryAfter 'None'"),
        ({"Decision": "PROCEED"}, "WaitingNodes with PROCEED, which is for WAIT only"),
        ({"Pause": 5}, "the unknown key 'Pause'"),
    ],
)
def test_a_not_yet_that_is_not_clear_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HookError, match=sentence):
        verdict(json.dumps(WAIT | change).encode(), (FIRST, SECOND))


def test_version_1_cannot_wait() -> None:
    with pytest.raises(HookError, match=r"Decision 'WAIT'; allowed: PROCEED or VETO$"):
        verdict(b'{"Decision": "WAIT"}', (FIRST,))
