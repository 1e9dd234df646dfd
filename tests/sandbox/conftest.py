"""Fixtures of the sandbox's tests."""

from uuid import uuid4

import pytest

from sandbox.aws import Sandbox
from tests.sandbox.scripted_stack import ScriptedStack


@pytest.fixture
def stack(sandbox: Sandbox) -> ScriptedStack:
    """A stack that no other test has."""
    return ScriptedStack(sandbox, f"stack-{uuid4().hex[:8]}")
