"""Fixtures of the handler's tests."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from hyperpod_node_removal_handler import aws, index
from tests.handler.endpoint import Endpoint
from tests.handler.function import Function
from tests.handler.world import World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    ca = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return ca, path


@pytest.fixture
def endpoint(
    authority: tuple[trustme.CA, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Endpoint]:
    ca, path = authority
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with contextlib.closing(Endpoint(ca)) as endpoint:
        yield endpoint


@pytest.fixture
def function(
    world: World, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Function]:
    function = Function(world, endpoint)
    clients = {
        "sagemaker": world.sagemaker,
        "cloudformation": world.cloudformation,
        "lambda": function.lambda_client,
    }
    monkeypatch.setattr(aws, "client", clients.__getitem__)
    monkeypatch.setattr(index, "clock", world.clock)
    monkeypatch.setattr(index.handler, "_clock", world.clock)
    root = logging.getLogger()
    level = root.level
    yield function
    root.setLevel(level)
