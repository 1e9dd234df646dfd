"""Fixtures for a team's repository and a cluster."""

from pathlib import Path
from uuid import uuid4

import pytest

from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from tests.pipelines.team import Team


@pytest.fixture
def team(sandbox: Sandbox, tmp_path: Path) -> Team:
    return Team(sandbox, tmp_path)


@pytest.fixture
def cluster(sandbox: Sandbox) -> Cluster:
    return new_cluster(sandbox)


def new_cluster(sandbox: Sandbox) -> Cluster:
    """Create a cluster of eight workers with a unique name."""
    return sandbox.hyperpod.create_cluster(
        f"team-{uuid4().hex[:8]}", {"workers": 8}, shutdown_seconds=0.5
    )
