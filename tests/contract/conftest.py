"""The fixture of one stack with a removal."""

from collections.abc import Iterator

import pytest

from hyperpod_node_removal_contract import Attribute
from sandbox.aws import Sandbox
from tests.contract.lifecycle import Removal, synthesized


@pytest.fixture
def removal(
    request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Removal]:
    removal = Removal(sandbox, synthesized(tmp_path_factory))
    lag = getattr(request, "param", 0.0)
    with sandbox.lag(lag, lag):
        yield removal
    # After every test: one reply to each request, and one physical id for each stack.
    replies = removal.replies()
    assert [reply["RequestId"] for reply in replies] == [
        request["RequestId"] for request in removal.requests()
    ]
    ids = {(reply["StackId"], reply["PhysicalResourceId"]) for reply in replies}
    assert len(ids) == len({reply["StackId"] for reply in replies})
    assert all(set(reply["Data"]) == set(Attribute) for reply in replies)
