"""Fixtures of the handler's tests."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.handler.endpoint import Endpoint
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
