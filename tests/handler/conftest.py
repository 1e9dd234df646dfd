"""Fixtures of the handler's tests."""

import logging
from collections.abc import Iterator

import pytest

from hyperpod_node_removal_handler import index
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
    monkeypatch.setattr(index, "clock", world.clock)
    monkeypatch.setattr(index.handler, "_clock", world.clock)
    root = logging.getLogger()
    level = root.level
    with world.reached():
        yield function
    root.setLevel(level)
