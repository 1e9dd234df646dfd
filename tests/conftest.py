"""Settings and fixtures of all tests, such as one sandbox per test process."""

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

# The CDK's template validation takes four seconds to start in each process.
# `tests/construct/test_template.py` runs it on a stack with all options.
os.environ.setdefault("CDK_VALIDATION", "false")

# Examples may be slow on a busy machine. Their duration is not tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("untimed"), max_examples=20)
settings.load_profile("untimed")

# Objects of tests are short-lived, and imported modules stay. Rare garbage collections find as many
# objects, and save a tenth of the time.
gc.set_threshold(100_000, 50, 100)


@pytest.hookimpl(tryfirst=True)  # before marks are evaluated
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that use the sandbox as slow, so that `make check` skips them.

    Files with slow tests, which mostly wait, alternate with others, so that no core is idle. Of the
    others, the fault suite takes longest, so it comes first.
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
    """The sandbox of this process. Tests share it and use unique names.

    With `SANDBOX_LAG=3`, its DescribeStacks is three seconds behind.
    """
    lag = float(os.environ.get("SANDBOX_LAG", "0"))
    with Sandbox() as sandbox, sandbox.lag(lag, lag):
        sandbox.hyperpod.create_cluster("ml-cluster", {"workers": 3})
        yield sandbox


@pytest.fixture(scope="session")
def bootstrapped(sandbox: Sandbox) -> Sandbox:
    """The sandbox after `cdk bootstrap`."""
    sandbox.bootstrap()
    return sandbox


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
