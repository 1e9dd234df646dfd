"""The findings of `make bench` about partial failures."""

import pytest

from bench.peers import NAIVE, OURS
from bench.sections import truth
from hyperpod_node_removal_contract import RESPONSE_MAX_BYTES


@pytest.mark.parametrize("failing", truth.FAILING)
def test_the_product_is_right(failing: int) -> None:
    (row,) = truth.measure((OURS,), (failing,))
    assert row.wrong == ""
    assert row.status == ("FAILED" if failing else "SUCCESS")
    assert 0 < row.body_bytes <= RESPONSE_MAX_BYTES
    assert row.named >= min(failing, 24)


def test_a_reason_that_is_truncated_is_found_to_be_wrong() -> None:
    few, many = truth.measure((NAIVE,), (1, 24))
    assert few.wrong == ""
    assert "does not say how many failed" in many.wrong
