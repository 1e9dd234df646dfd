"""What tests of several folders share: one embedded AWS per test process."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from sandbox.aws import Sandbox

# A busy machine is no defect: how long an example or its making takes is not what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that all tests of this process share; names keep them apart."""
    with Sandbox() as sandbox:
        sandbox.hyperpod.create_cluster("ml-cluster", {"workers": 3})
        yield sandbox
