"""What tests of several folders share: one embedded AWS per test process."""

import contextlib
import gc
import os
from collections.abc import Iterator
from itertools import groupby, zip_longest
from pathlib import Path

import pytest
import trustme
from hypothesis import HealthCheck, settings

from sandbox.aws import Sandbox
from tests.handler.endpoint import Endpoint, EndpointServer

# Starting the CDK's own check of templates takes four seconds in each process that synthesizes.
# `tests/construct/test_template.py` has it check all that there is.
os.environ.setdefault("CDK_VALIDATION", "false")

# A busy machine is no defect: how long an example or its making takes is not what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("untimed"), max_examples=20)
settings.load_profile("untimed")

# What a test makes is soon gone, and what a process has imported stays: rare collections find as
# much, and cost a tenth of the time less.
gc.set_threshold(100_000, 50, 100)


@pytest.hookimpl(tryfirst=True)  # before the marks are looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what deploys into a sandbox, which `make check` leaves to `make test`.

    Files with slow tests, which mostly wait, alternate with others, so that no core is idle. Of
    these, the fault suite takes longest, so it comes first.
    """
    for item in items:
        if "sandbox" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")
    slow: list[list[pytest.Item]] = []
    fast: list[list[pytest.Item]] = []
    for _, group in groupby(items, lambda item: item.path):
        file = list(group)
        is_slow = any(item.get_closest_marker("slow") for item in file)
        (slow if is_slow else fast).append(file)
    fast.sort(key=lambda file: "faults" not in file[0].path.parts)
    none: list[pytest.Item] = []
    pairs = zip_longest(slow, fast, fillvalue=none)
    items[:] = [item for pair in pairs for file in pair for item in file]


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that all tests of this process share; names keep them apart.

    `SANDBOX_LAG=3` runs them with a DescribeStacks that is three seconds behind.
    """
    lag = float(os.environ.get("SANDBOX_LAG", "0"))
    with Sandbox() as sandbox, sandbox.lag(lag, lag):
        sandbox.hyperpod.create_cluster("ml-cluster", {"workers": 3})
        yield sandbox


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    ca = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return ca, path


@pytest.fixture(scope="session")
def endpoint_server(authority: tuple[trustme.CA, Path]) -> Iterator[EndpointServer]:
    with contextlib.closing(EndpointServer(authority[0])) as server:
        yield server


@pytest.fixture
def endpoint(
    endpoint_server: EndpointServer,
    authority: tuple[trustme.CA, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Endpoint:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority[1]))
    return endpoint_server.new_endpoint()
