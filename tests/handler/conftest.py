"""Fixtures of the handler's tests."""

import logging
from collections.abc import Iterator

import pytest

from hyperpod_node_removal_handler import aws, index
from tests.handler.endpoint import Endpoint
from tests.handler.function import Function
from tests.handler.world import World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def function(
    world: World, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Function]:
    function = Function(world, endpoint)
    clients = {
        "sagemaker": world.sagemaker,
        "cloudformation": world.cloudformation,
        "lambda": function.lambda_client,
        "events": function.events_client,
    }
    monkeypatch.setattr(aws, "client", clients.__getitem__)
    monkeypatch.setattr(aws, "waiting_client", function.lambda_client.waiting)
    monkeypatch.setattr(index, "clock", world.clock)
    monkeypatch.setattr(index.handler, "_clock", world.clock)
    root = logging.getLogger()
    level = root.level
    yield function
    root.setLevel(level)
