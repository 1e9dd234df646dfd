"""What people read: Reason, Data and log lines."""

import json
import logging
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperpod_node_removal_contract import Attribute, Outcome, PartialFailure
from hyperpod_node_removal_handler import outcome, report
from hyperpod_node_removal_handler.outcome import LogPlace, Result
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode
from tests.handler.results import (
    absent,
    failed,
    identifier,
    leaving,
    removed,
    report_of,
    result,
)
from tests.handler.world import ENVELOPE, LOG


def test_the_reason_begins_with_verdict_and_nodes_and_ends_with_the_log_stream() -> None:
    nodes = [removed(number) for number in range(5)]
    told = report_of(*nodes, failed(5), failed(6, "InvalidNodeStatus"))
    assert told.status == "FAILED"
    assert told.reason.startswith(
        "2 of 7 nodes not removed from ml-cluster (5 removed). NodeIdInUse: i-00000000000000005;"
        " InvalidNodeStatus: i-00000000000000006."
    )
    assert told.reason.endswith("CloudWatch Log Stream: 2026/11/23/[$LATEST]4f2a91c0")
    assert 'NodeIdInUse: "in use" (3 attempts).' in told.reason
    assert "Redeploy the same set once the nodes are free." in told.reason
    assert "A rollback does not bring removed nodes back." in told.reason


def test_a_reason_that_is_too_long_leaves_out_whole_ids_and_says_how_many() -> None:
    told = report_of(*(failed(number) for number in range(99)))
    assert len(told.reason.encode()) <= 900
    ids = told.reason.split("NodeIdInUse: ")[1].split(".")[0].split(", ")
    *shown, rest = ids
    assert all(shown_id == identifier(index) for index, shown_id in enumerate(shown))
    assert rest == f"+{99 - len(shown)} more"
    assert len(shown) > 25


def test_no_code_is_crowded_out_by_another() -> None:
    told = report_of(*(failed(number) for number in range(200)), failed(300, "InvalidNodeStatus"))
    assert f"InvalidNodeStatus: {identifier(300)}" in told.reason


codes = st.one_of(
    st.sampled_from(["NodeIdInUse", "InvalidNodeStatus", "ControllerNode", "StillPresent"]),
    st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=64),
)


@st.composite
def results(draw: st.DrawFn) -> Result:
    numbers = iter(range(10**6))
    nodes = [
        *(removed(next(numbers)) for _ in range(draw(st.integers(0, 200)))),
        *(absent(next(numbers)) for _ in range(draw(st.integers(0, 200)))),
    ]
    for code in draw(st.lists(codes, max_size=30)):
        message = draw(st.text(alphabet='ab "\\', max_size=300))
        count = draw(st.integers(1, 30))
        nodes += [failed(next(numbers), code, message) for _ in range(count)]
    if draw(st.booleans()):
        nodes = [
            replace(node, node_id="", logical_id="w" * 110 + identifier(index))
            for index, node in enumerate(nodes)
        ]
    groups = draw(st.dictionaries(st.text(alphabet="ab-", min_size=1, max_size=63), st.integers(0)))
    return result(
        *(nodes or [absent(0)]),
        target_counts=groups,
        warnings=draw(st.sampled_from([(), ('"' * 390,), ("Beware. " * 60, "And beware.")])),
        interruption=draw(st.sampled_from(["", "Something broke. " * 60])),
    )


@settings(max_examples=60)
@given(results(), st.sampled_from(PartialFailure), st.text(max_size=2000))
def test_no_result_breaks_a_limit(given: Result, policy: PartialFailure, name: str) -> None:
    log = LogPlace("/aws/lambda/" + "g" * 500, "s" * 512)
    given = replace(given, request=replace(given.request, on_partial_failure=policy), log=log)
    told = report.of_result(given)
    body = told.body(replace(ENVELOPE, logical_resource_id=name))
    assert len(told.reason.encode()) <= 900
    assert len(body) <= 4096
    answer = json.loads(body)
    assert set(answer["Data"]) == set(Attribute)
    assert all(isinstance(value, str) for value in answer["Data"].values())
    json.loads(answer["Data"]["InstanceGroupTargetCounts"])


def test_a_body_is_short_even_if_every_id_in_it_is_not() -> None:
    long = "x" * 10_000
    envelope = replace(
        ENVELOPE,
        stack_id=long,
        request_id=long,
        logical_resource_id="\N{COLLISION SYMBOL}" * 10_000,
        physical_resource_id=long,
    )
    body = report_of(*(failed(number) for number in range(300))).body(envelope)
    assert len(body) <= 4096
    assert json.loads(body)["Status"] == "FAILED"


def test_every_path_has_the_same_attributes() -> None:
    reports = [
        report_of(removed(1)),
        report_of(failed(1)),
        report.untouched(Outcome.DELETED, None, "deleted"),
        report.untouched(Outcome.EMPTY, "ml-cluster", "empty"),
        report.failure(["not", "text"], "bad", LOG),
    ]
    for told in reports:
        assert set(told.data) == set(Attribute)
        assert all(isinstance(value, str) for value in told.data.values())


def test_attributes_of_a_partial_removal() -> None:
    told = report_of(
        removed(1),
        absent(2),
        failed(3),
        on_partial_failure=PartialFailure.REPORT,
        target_counts={"workers": 5},
    )
    assert told.status == "SUCCESS"
    assert told.data == {
        "Outcome": "PARTIAL",
        "ClusterName": "ml-cluster",
        "RequestedCount": "3",
        "RequestedNodes": ",".join(f"i-{number:017x}" for number in (1, 2, 3)),
        "PlannedCount": "0",
        "RemovedCount": "1",
        "AcceptedCount": "0",
        "AlreadyAbsentCount": "1",
        "FailedCount": "1",
        "PlannedNodes": "",
        "RemovedNodes": identifier(1),
        "AcceptedNodes": "",
        "AlreadyAbsentNodes": identifier(2),
        "FailedNodes": identifier(3),
        "InstanceGroupTargetCounts": '{"workers": 5}',
        "Warnings": "",
    }


@pytest.mark.parametrize("policy", PartialFailure)
@pytest.mark.parametrize("other", [failed(1), absent(1)], ids=["failed", "absent"])
def test_a_removal_of_which_every_node_failed_that_was_there_fails(
    policy: PartialFailure, other: RequestedNode
) -> None:
    is_partial = policy is PartialFailure.REPORT and other.phase is Phase.ABSENT
    told = report_of(other, failed(2), on_partial_failure=policy)
    assert told.status == ("SUCCESS" if is_partial else "FAILED")


def test_lists_are_cut_at_whole_ids() -> None:
    ids = [identifier(number) for number in range(100)]
    shown = outcome.join_fitting(ids, 200).split(",")
    assert shown[-1] == f"+{100 - len(shown) + 1} more"
    assert shown[:-1] == ids[: len(shown) - 1]
    assert len(",".join(shown)) <= 200


def count_line(before: int | None, after: int, nodes: int = 3) -> tuple[int, str]:
    """Level and text of what is said about the counts of `workers`."""
    told = report_of(
        *(removed(number) for number in range(nodes)),
        target_counts={"workers": after},
        target_counts_before={} if before is None else {"workers": before},
    )
    (line,) = [line for line in told.lines if line.text.startswith("workers: ")]
    return line.level, line.text


def test_the_lines_to_change_in_a_template() -> None:
    level, text = count_line(8, 5)
    assert level == logging.INFO
    assert text.startswith("workers: InstanceCount 8 -> 5: update the cluster's template")
    assert count_line(None, 5)[1] == text, "an older invocation did not hand the counts over"


def test_a_count_that_the_service_has_yet_to_lower_is_not_passed_off_as_the_new_one() -> None:
    level, text = count_line(8, 8)
    assert level == logging.WARNING
    assert text.startswith("workers: TargetCount is 8 (was 8) although 3 removals were accepted: ")
    assert "->" not in text
    assert "->" not in count_line(8, 6)[1], "one of three is still counted"


def test_what_others_took_from_the_group_is_shown_apart() -> None:
    assert "InstanceCount 8 -> 4 (of these, 3 removed here)" in count_line(8, 4)[1]


def test_nodes_that_are_accepted_and_still_leaving_are_out_of_the_count_already() -> None:
    told = report_of(leaving(1), target_counts={"workers": 7}, target_counts_before={"workers": 8})
    assert any("workers: InstanceCount 8 -> 7" in line.text for line in told.lines)


def test_the_log_shows_what_went_well_then_the_failures_then_the_summary() -> None:
    told = report_of(
        failed(1),
        removed(2),
        absent(3),
        failed(4),
        on_partial_failure=PartialFailure.REPORT,
        target_counts={"workers": 5},
        target_counts_before={"workers": 6},
    )
    lines = [line.text for line in told.lines]
    assert lines[0] == f"{identifier(2)}: removed (group workers)"
    assert lines[1] == f"{identifier(3)}: already absent"
    assert lines[2] == (
        "workers: InstanceCount 6 -> 5: update the cluster's template, or its next update"
        " adds the nodes again."
    )
    assert lines[3] == (
        f"{identifier(1)}: not removed: NodeIdInUse: in use. Group workers, status Running."
        " Requested 3 times."
    )
    assert lines[4].startswith(identifier(4))
    assert lines[5].startswith("PARTIAL: 2 of 4 nodes not removed from ml-cluster")
    assert len(lines) == 6
    warnings = [line for line in told.lines if line.level == logging.WARNING]
    assert {line.fields.get("node") for line in warnings} >= {identifier(1), identifier(4)}
