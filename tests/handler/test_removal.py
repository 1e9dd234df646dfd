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


def answered(accepted: bool = False, refusal: Refusal | None = None) -> Removal:
    """Return a removal of node 1 that was requested once, with the answer to that."""
    shown = node(1)
    removal = Removal.of([shown.instance_id], []).observe(Listing((shown,)))
    (request,) = removal.requests()
    names = frozenset({shown.instance_id} if accepted else ())
    return removal.answer(
        request, DeleteReply(names, {shown.instance_id: refusal} if refusal else {})
    )


def gone(removal: Removal, looks: int) -> Removal:
    """Return the removal after so many listings without its nodes."""
    for _ in range(looks):
        removal = removal.observe(Listing(()))
    return removal


def test_an_answer_that_does_not_mention_a_node_settles_nothing() -> None:
    (after,) = answered().nodes
    assert after.phase is Phase.WAITING
    assert after.attempts == 1


def test_a_node_that_was_never_mentioned_fails_once_the_time_for_retries_is_over() -> None:
    (given_up,) = answered().give_up().nodes
    assert given_up.phase is Phase.FAILED
    assert given_up.refusal
    assert given_up.refusal.code == FailureCode.NO_ANSWER


def test_a_node_that_reappears_is_not_settled() -> None:
    removal = gone(answered(accepted=True), looks=2)
    assert removal.nodes[0].phase is Phase.REMOVED
    assert removal.observe(Listing((node(1),))).nodes[0].phase is Phase.LEAVING


def test_a_node_that_leaves_after_it_had_failed_has_left() -> None:
    failed = answered(refusal=Refusal("Odd", "no"))
    phases = [gone(failed, looks).nodes[0].phase for looks in (0, 1, 2)]
    assert phases == [Phase.FAILED, Phase.FAILED, Phase.ABSENT]


def test_an_accepted_node_that_one_look_lacks_is_accepted_where_that_is_waited_for() -> None:
    (stopped,) = gone(answered(accepted=True), looks=1).stop("time", WaitFor.ACCEPTED).nodes
    assert stopped.phase is Phase.LEAVING


def test_absence_has_to_be_seen_twice_in_a_row() -> None:
    removal = Removal.of([node(1).instance_id], [])
    once = gone(removal, looks=1)
    assert not once.has_reached(WaitFor.REMOVED)
    assert gone(once, looks=1).has_reached(WaitFor.REMOVED)
    assert not gone(once.observe(Listing((node(1),))), looks=1).has_reached(WaitFor.REMOVED)


def test_nodes_that_were_requested_least_come_first() -> None:
    shown = [node(number) for number in range(120)]
    removal = Removal.of((one.instance_id for one in shown), []).observe(Listing(tuple(shown)))
    first, _ = removal.requests()
    throttled = Refusal("Throttling", "")
    removal = removal.attempt_failed(first, throttled, may_have_been_requested=False)
    assert set(removal.requests()[0].node_ids[:21]).isdisjoint(first.node_ids)


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
