"""What tests of several folders share: one embedded AWS per test process."""

from collections.abc import Iterator

import pytest

from sandbox.aws import Sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that all tests of this process share; names keep them apart."""
    with Sandbox() as sandbox:
        sandbox.hyperpod.create_cluster("ml-cluster", {"workers": 3})
        yield sandbox
