"""The figures of `make bench` for removals, asserted for small shapes."""

from functools import cache

import pytest

from bench import goals
from bench.peers import BOUND, DESCRIBES, FILTERS, LISTS, NAIVE, OURS, SAFE_BOUND, Peer
from bench.scenario import Case, PeerResult
from bench.shapes import LIMITED_CASES, LimitedCase

WHOLE = [Case(nodes, nodes + 8, within) for nodes in (1, 99, 250) for within in (5.0, 1200.0)]
SCRIPTS = (LISTS, DESCRIBES, FILTERS)


@cache
def ours(case: Case) -> PeerResult:
    return OURS.run(case)


@pytest.mark.parametrize("limited", LIMITED_CASES, ids=lambda limited: limited.name)
def test_calls_and_seconds_are_within_the_limits_on_the_page(limited: LimitedCase) -> None:
    result = ours(limited.case)
    assert result.right == limited.case.removals
    assert result.call_count <= limited.max_calls
    assert result.seconds <= limited.max_seconds


@pytest.mark.parametrize("peer", [BOUND, SAFE_BOUND, *SCRIPTS], ids=lambda peer: peer.name)
@pytest.mark.parametrize("limited", LIMITED_CASES, ids=lambda limited: limited.name)
def test_the_scripts_and_the_bounds_get_every_shape_right(limited: LimitedCase, peer: Peer) -> None:
    assert peer.run(limited.case).right == limited.case.removals


@pytest.mark.parametrize("limited", LIMITED_CASES, ids=lambda limited: limited.name)
def test_the_product_is_never_below_the_bound(limited: LimitedCase) -> None:
    bound, result = BOUND.run(limited.case), ours(limited.case)
    assert bound.seconds <= result.seconds
    assert bound.call_count <= result.call_count


@pytest.mark.parametrize("case", WHOLE, ids=str)
def test_success_means_that_all_have_left_with_no_more_deletes_than_it_takes(case: Case) -> None:
    result = ours(case)
    assert (result.status, result.still_there) == ("SUCCESS", 0)
    assert result.seconds >= result.last_left
    deletes = result.calls["BatchDeleteClusterNodes"]
    assert deletes == BOUND.run(case).calls["BatchDeleteClusterNodes"] == -(-case.nodes // 99)
    # The stack is checked before each delete and every half minute.
    invocations = 1 + result.calls.get("Invoke", 0)
    assert deletes < result.calls["DescribeStacks"] <= invocations + deletes + result.seconds / 30


def test_fewer_lists_than_the_script_where_it_takes_long() -> None:
    case = WHOLE[-1]
    lists = ours(case).calls["ListClusterNodes"]
    assert lists < LISTS.run(case).calls["ListClusterNodes"] * 3 / 4


@pytest.mark.parametrize("peer", [BOUND, OURS, *SCRIPTS], ids=lambda peer: peer.name)
def test_a_round_is_the_same_every_time(peer: Peer) -> None:
    case = Case(4, 300, 20.0, rate=2.0, removals=3, seed=3)
    first = peer.run(case)
    peer.run(Case(1, 40, seed=1))
    assert peer.run(case) == first


def test_a_guard_makes_the_bound_list_once_more_before_the_last_request() -> None:
    free, guarded = (
        BOUND.run(Case(2, 300, refused=2, is_guarded=is_it)) for is_it in (False, True)
    )
    assert guarded.call_count == free.call_count + 3


def test_the_checks_that_the_time_goal_takes_are_counted() -> None:
    case = Case(1, 40, 60.0, straggler=60.0)
    bound = BOUND.run(case)
    # t becomes 1.05 t + 1 with each check: a minute takes ln(4) / ln(1.05) = 28.4 of them.
    assert goals.calls_for_time(case, bound, bound) == bound.call_count + 28
    (limit,) = goals.call_limits(case, bound=bound, safe=bound, ours=bound, lists=bound)
    assert (limit.most, limit.is_kept) == (12, True)
    assert limit.obstacle == "the time goal takes 32"


def test_the_safe_bound_sees_each_absence_twice_and_the_stack_every_half_minute() -> None:
    case = Case(3, 300, 100.0, straggler=100.0)
    bound, safe = BOUND.run(case), SAFE_BOUND.run(case)
    assert safe.calls["DescribeClusterNode"] == 3
    assert safe.calls["DescribeStacks"] == bound.calls["DescribeStacks"] + 1 + 3
    assert safe.calls["DescribeCluster"] == 2
    assert safe.right == 1
    many = Case(250, 300, 5.0)
    assert SAFE_BOUND.run(many).calls["ListClusterNodes"] == 3 + 1 + 1


def test_a_goal_that_is_missed_is_missed_by_no_more_than_the_rules_take() -> None:
    for case in (Case(1, 40, 5.0, seed=2), Case(50, 1000, 5.0, seed=2), Case(8, 1000, 2.0)):
        assert goals.is_in_time(SAFE_BOUND.run(case), ours(case))


def test_a_function_that_waits_by_itself_ends_after_15_minutes() -> None:
    assert NAIVE.run(Case(10, 18, 1200.0)).status == "FAILED"
