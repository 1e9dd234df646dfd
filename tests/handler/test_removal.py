"""The decisions of a removal, without a cluster."""

from hypothesis import given
from hypothesis import strategies as st

from hyperpod_node_removal_contract import FailureCode, WaitFor
from hyperpod_node_removal_handler.cluster import DeleteReply, Listing, Node, Refusal
from hyperpod_node_removal_handler.removal import DeleteRequest, Removal
from hyperpod_node_removal_handler.requested_node import Phase


def node(number: int, status: str = "Running", *, logical: bool = False) -> Node:
    return Node(f"i-{number:017x}", f"workers-{number}" if logical else "", "workers", status)


@given(st.integers(min_value=0, max_value=700), st.integers(min_value=0, max_value=300))
def test_requests_are_the_fewest_within_the_limits(ids: int, logical_ids: int) -> None:
    by_id = [node(number) for number in range(ids)]
    by_logical_id = [node(1000 + number, logical=True) for number in range(logical_ids)]
    removal = Removal.of(
        (shown.instance_id for shown in by_id), (shown.logical_id for shown in by_logical_id)
    ).observe(Listing((*by_id, *by_logical_id)))
    requests = removal.requests()
    for request in requests:
        assert len(request.identifiers) <= (50 if request.node_logical_ids else 99)
    asked = [identifier for request in requests for identifier in request.identifiers]
    assert sorted(asked) == sorted(requested.name for requested in removal.nodes)
    if not logical_ids:
        assert len(requests) == -(-ids // 99)
    assert len(requests) <= -(-(ids + logical_ids) // 50)


@given(st.integers(min_value=2, max_value=99), st.integers(min_value=0, max_value=49))
def test_parts_of_a_request_are_smaller_and_lose_nothing(ids: int, logical_ids: int) -> None:
    request = DeleteRequest(
        tuple(f"i-{number:017x}" for number in range(ids)),
        tuple(f"w-{number}" for number in range(logical_ids)),
    )
    parts = request.parts()
    together = [identifier for part in parts for identifier in part.identifiers]
    assert sorted(together) == sorted(request.identifiers)
    assert all(len(part.identifiers) < len(request.identifiers) for part in parts)


def test_an_answer_that_does_not_mention_a_node_settles_nothing() -> None:
    shown = node(1)
    removal = Removal.of([shown.instance_id], []).observe(Listing((shown,)))
    (request,) = removal.requests()
    after = removal.answer(request, DeleteReply(frozenset()))
    assert after.nodes[0].phase is Phase.WAITING
    assert after.nodes[0].attempts == 1


def test_a_node_that_reappears_is_not_settled() -> None:
    shown = node(1)
    removal = Removal.of([shown.instance_id], []).observe(Listing((shown,)))
    (request,) = removal.requests()
    removal = removal.answer(request, DeleteReply(frozenset({shown.instance_id})))
    gone = removal.observe(Listing(())).observe(Listing(()))
    assert gone.nodes[0].phase is Phase.REMOVED
    assert gone.observe(Listing((shown,))).nodes[0].phase is Phase.LEAVING


def test_absence_has_to_be_seen_twice_in_a_row() -> None:
    shown = node(1)
    removal = Removal.of([shown.instance_id], [])
    once = removal.observe(Listing(()))
    assert not once.has_reached(WaitFor.REMOVED)
    assert once.observe(Listing(())).has_reached(WaitFor.REMOVED)
    assert not once.observe(Listing((shown,))).observe(Listing(())).has_reached(WaitFor.REMOVED)


def test_a_node_that_leaves_after_it_had_failed_has_left() -> None:
    shown = node(1)
    removal = Removal.of([shown.instance_id], []).observe(Listing((shown,)))
    (request,) = removal.requests()
    failed = removal.answer(
        request, DeleteReply(frozenset(), {shown.instance_id: Refusal("Odd", "no")})
    )
    assert failed.nodes[0].phase is Phase.FAILED
    once = failed.observe(Listing(()))
    assert once.nodes[0].phase is Phase.FAILED
    assert once.observe(Listing(())).nodes[0].phase is Phase.ABSENT


def test_a_node_that_was_never_mentioned_fails_once_the_time_for_retries_is_over() -> None:
    shown = node(1)
    removal = Removal.of([shown.instance_id], []).observe(Listing((shown,)))
    (request,) = removal.requests()
    (given_up,) = removal.answer(request, DeleteReply(frozenset())).give_up().nodes
    assert given_up.phase is Phase.FAILED
    assert given_up.refusal
    assert given_up.refusal.code == FailureCode.NO_ANSWER


def test_nodes_that_were_asked_for_least_come_first() -> None:
    shown = [node(number) for number in range(120)]
    removal = Removal.of((one.instance_id for one in shown), []).observe(Listing(tuple(shown)))
    first, _ = removal.requests()
    throttled = Refusal("Throttling", "")
    removal = removal.attempt_failed(first, throttled, may_have_been_requested=False)
    again = removal.requests()
    assert set(again[0].node_ids[:21]).isdisjoint(first.node_ids)


def test_stopping_names_what_had_been_accepted_and_what_had_not() -> None:
    accepted, waiting = node(1), node(2)
    removal = Removal.of([accepted.instance_id, waiting.instance_id], [])
    removal = removal.observe(Listing((accepted, waiting)))
    (request,) = removal.requests()
    removal = removal.answer(request, DeleteReply(frozenset({accepted.instance_id})))
    stopped = removal.stop("time ran out", WaitFor.REMOVED)
    codes = [requested.refusal.code for requested in stopped.nodes if requested.refusal]
    assert codes == [FailureCode.STILL_PRESENT, FailureCode.NO_ANSWER]
    assert stopped.has_reached(WaitFor.REMOVED)


def test_an_accepted_node_that_one_look_lacks_is_accepted_where_that_is_waited_for() -> None:
    shown = node(1)
    removal = Removal.of([shown.instance_id], []).observe(Listing((shown,)))
    (request,) = removal.requests()
    removal = removal.answer(request, DeleteReply(frozenset({shown.instance_id})))
    (stopped,) = removal.observe(Listing(())).stop("time", WaitFor.ACCEPTED).nodes
    assert stopped.phase is Phase.LEAVING
