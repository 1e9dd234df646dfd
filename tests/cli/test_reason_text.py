"""Reasons read back: the inverse of how the function writes them."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hyperpod_node_removal_cli.reason_text import from_event, read_reason
from hyperpod_node_removal_handler.cluster import Refusal
from hyperpod_node_removal_handler.contract import FailureCode, printable
from hyperpod_node_removal_handler.reason import LogPlace, reason, refused, verdict
from hyperpod_node_removal_handler.requested_node import RequestedNode

WRAPPED = "Received response status [FAILED] from custom resource. Message returned: "

node_ids = st.from_regex(r"i-[a-f0-9]{17}", fullmatch=True)
logical_ids = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9-]{0,20}[a-zA-Z0-9]", fullmatch=True)
codes = st.sampled_from(
    [*FailureCode, "NodeIdInUse", "InvalidNodeStatus", "InternalError", "New.Code"]
)
words = st.text(alphabet="abcdefghij XYZ,'()-", max_size=60).map(str.strip)
logs = st.builds(
    LogPlace,
    st.sampled_from(["/aws/lambda/removal", "Stack-HyperPodNodeRemovalProviderLogGroup-1x", ""]),
    st.sampled_from(["2026/11/23/[$LATEST]4f2a91c0", ""]),
)


@st.composite
def failed_nodes(draw: st.DrawFn, messages: st.SearchStrategy[str]) -> list[RequestedNode]:
    names = draw(st.lists(node_ids | logical_ids, min_size=1, max_size=120, unique=True))
    known = draw(st.lists(codes, min_size=1, max_size=4, unique=True))
    said = {code: draw(messages) for code in known}
    return [
        RequestedNode(node_id=name, attempts=draw(st.integers(0, 3))).fail(
            Refusal(code, said[code])
        )
        for name in names
        for code in [draw(st.sampled_from(known))]
    ]


def code_of(node: RequestedNode) -> str:
    assert node.refusal
    return str(node.refusal.code)


@given(failed_nodes(words), st.integers(0, 20), st.integers(0, 20), logs)
def test_what_the_function_wrote_is_read_back(
    nodes: list[RequestedNode], removed: int, absent: int, log: LogPlace
) -> None:
    head = verdict(
        "ml-cluster", removed=removed, accepted=0, absent=absent, failed=len(nodes), seconds=1
    )
    written = reason(head, nodes, removed=removed, log=log)
    told = from_event(f"{WRAPPED}{written} (RequestId: 6d1f0c2e-9a56)")
    assert told == written
    read = read_reason(told)
    assert read.head == head
    assert read.cluster == "ml-cluster"
    assert read.failed == len(nodes)
    assert {group.code: group.count for group in read.groups} == Counter(map(code_of, nodes))
    for group in read.groups:
        named = [node.name for node in nodes if code_of(node) == group.code]
        assert list(group.nodes) == named[: len(group.nodes)]
    assert read.is_complete == (sum(len(group.nodes) for group in read.groups) == len(nodes))
    if len(nodes) < 10:
        assert read.is_complete
    assert read.log.stream == log.stream
    assert read.log.group == (log.group if log.stream else "")
    said = {code_of(node): node.refusal.message for node in nodes if node.refusal}
    for code, message in read.messages.items():
        assert message == said[code].rstrip(".")


@given(failed_nodes(words), st.lists(words, min_size=1, max_size=3))
def test_a_broken_guard_is_read_back(nodes: list[RequestedNode], phrases: list[str]) -> None:
    guarded = [node.fail(Refusal(FailureCode.GUARDED, "; ".join(phrases))) for node in nodes]
    head = refused("ml-cluster", phrases)
    read = read_reason(reason(head, guarded, removed=0, log=LogPlace("/g", "s")))
    assert read.head == head
    assert read.failed == len(nodes)
    assert [group.code for group in read.groups] == ["Guarded"]


@given(
    failed_nodes(st.text(max_size=200).map(printable)),
    st.text(max_size=300).map(printable)
    | st.sampled_from(["x NodeIdInUse: i-0123456789abcdef0. y", "A: 3 nodes; B: c, +4 more."]),
)
def test_words_of_others_do_not_make_nodes(nodes: list[RequestedNode], interruption: str) -> None:
    head = verdict(
        "ml-cluster",
        removed=0,
        accepted=0,
        absent=0,
        failed=len(nodes),
        seconds=1,
        interruption=interruption,
    )
    read = read_reason(reason(head, nodes, removed=0, log=LogPlace("/g", "s")))
    assert read.failed == len(nodes)
    assert sum(group.count for group in read.groups) in {0, len(nodes)}


@given(st.text(max_size=500))
def test_any_text_is_read(text: str) -> None:
    read = read_reason(text)
    assert read.head or not text
    from_event(text)


def test_what_cloudformation_says_itself_is_not_the_functions() -> None:
    assert (
        from_event("CloudFormation did not receive a response from your Custom Resource.") is None
    )
    assert from_event("Resource creation cancelled") is None


def test_an_event_that_was_cut_is_read_as_far_as_it_goes() -> None:
    text = f"{WRAPPED}2 of 7 nodes not removed from ml-cluster (5 removed). NodeIdInUse: i-01234"
    told = from_event(text)
    assert told
    read = read_reason(told)
    assert (read.failed, read.groups, read.is_complete) == (2, (), False)


def test_a_log_group_whose_name_was_cut_is_not_looked_for() -> None:
    log = LogPlace("/aws/" + "g" * 200, "2026/11/23/[$LATEST]4f2a91c0")
    read = read_reason(f"Anything.{log.sentence}")
    assert read.log == LogPlace("", "2026/11/23/[$LATEST]4f2a91c0")
    assert read.head == "Anything."
