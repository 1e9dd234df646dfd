"""What `make bench` says of calls, held for small sets."""

import pytest

from bench.runs import FLOOR, NAIVE, OURS, POLLER, Peer
from bench.scene import Case
from bench.sections import removals

SIZES = (1, 99, 250)
WITHIN = (5.0, 1200.0)


@pytest.fixture(scope="module")
def runs() -> removals.Runs:
    return removals.measure(2, SIZES, WITHIN, (OURS, FLOOR), processes=1)


@pytest.mark.parametrize("peer", [OURS, FLOOR], ids=lambda peer: peer.name)
def test_success_means_that_all_have_left(runs: removals.Runs, peer: Peer) -> None:
    for (_, _, name), told in runs.items():
        if name == peer.name:
            assert {(one.status, one.still_there) for one in told} == {("SUCCESS", 0)}
            assert all(one.seconds >= one.last_left for one in told)


@pytest.mark.parametrize("nodes", SIZES)
def test_no_more_deletes_than_it_takes(runs: removals.Runs, nodes: int) -> None:
    for within in WITHIN:
        for told in runs[nodes, within, OURS.name]:
            assert told.calls["BatchDeleteClusterNodes"] == removals.fewest_deletes(nodes)


@pytest.mark.parametrize("nodes", SIZES)
def test_no_more_lists_than_the_pace_explains(runs: removals.Runs, nodes: int) -> None:
    for within in WITHIN:
        for told in runs[nodes, within, OURS.name]:
            most = removals.explained_looks(told) * removals.pages(Case(nodes))
            assert told.calls["ListClusterNodes"] <= most


@pytest.mark.parametrize("nodes", SIZES)
def test_the_stack_is_looked_at_before_each_delete_and_every_half_minute(
    runs: removals.Runs, nodes: int
) -> None:
    for within in WITHIN:
        for told in runs[nodes, within, OURS.name]:
            looks = told.calls["DescribeStacks"]
            assert told.calls["BatchDeleteClusterNodes"] < looks
            assert looks <= removals.explained_stack_looks(told)


def test_fewer_lists_than_the_script_where_it_takes_long(runs: removals.Runs) -> None:
    ours, script = (runs[250, 1200.0, peer.name] for peer in (OURS, FLOOR))
    for told, floor in zip(ours, script, strict=True):
        assert told.calls["ListClusterNodes"] < floor.calls["ListClusterNodes"] * 3 / 4


def test_a_round_is_the_same_every_time() -> None:
    case = Case(10, 60.0, seed=3)
    assert OURS.run(case) == OURS.run(case)


def test_what_the_peers_cannot_do_shows() -> None:
    assert NAIVE.run(Case(10, 1200.0)).status == "FAILED"  # a function ends after 15 minutes
    assert POLLER.run(Case(500)).status == "FAILED"  # a target's input of 8,192 characters
