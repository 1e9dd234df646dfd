"""One embedded AWS per test process."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from sandbox.aws import Sandbox
from tests.sandbox.scripted_stack import ScriptedStack


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that all tests of this process share; names keep them apart."""
    with Sandbox() as sandbox:
        sandbox.hyperpod.create_cluster("ml-cluster", {"workers": 3})
        yield sandbox


@pytest.fixture
def stack(sandbox: Sandbox) -> ScriptedStack:
    """A stack that no other test has."""
    return ScriptedStack(sandbox, f"stack-{uuid4().hex[:8]}")
