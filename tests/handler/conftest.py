"""Fixtures of the handler's tests."""

import logging
from collections.abc import Iterator

import pytest

from hyperpod_node_removal_handler import index
from sandbox.hyperpod import Cluster
from tests.handler.endpoint import Endpoint
from tests.handler.world import World


@pytest.fixture
def world(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[World]:
    world = World()
    world.endpoint, world.log = endpoint, caplog
    monkeypatch.setattr(index.handler, "_clock", world.clock)
    caplog.set_level(logging.INFO)
    root = logging.getLogger()
    level = root.level
    with world.reached():
        yield world
    root.setLevel(level)


@pytest.fixture
def cluster(world: World) -> Cluster:
    """The cluster of a test that has nothing to say about it but that it exists."""
    return world.cluster
