"""What the page says is in the log is what the function writes there."""

import logging

import pytest

from hyperpod_node_removal_handler import report
from sandbox.hyperpod import Cluster
from sandbox.project import ROOT
from tests.docs.code_blocks import code_blocks
from tests.handler.world import LOG, World

PAGE = ROOT / "docs" / "before-you-delete.md"
SHOWN = "i-0123456789abcdef{}"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def cluster(world: World) -> Cluster:
    return world.hp.create_cluster("ml-cluster", {"head": 1, "workers": 8}, "head")


def blocks() -> list[str]:
    """The texts of the page, with spaces for line breaks: the page is narrower than the log."""
    return [on_one_line(block.text) for block in code_blocks(PAGE, "text")]


def on_one_line(text: str) -> str:
    return " ".join(text.split())


def test_the_plan_is_the_one_in_the_log(
    world: World, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    nodes = [cluster.node_ids("workers")[0], *cluster.node_ids("head"), SHOWN.format(2)]
    cluster.set_node_status(nodes[0], "Failure", message="XID 79")
    world.remove(nodes)
    told = "\n".join(
        record.getMessage() for record in caplog.records if record.getMessage().startswith("Plan")
    )
    for number, node in enumerate(nodes):
        told = told.replace(node, SHOWN.format(number))
    assert on_one_line(told) in blocks()


def test_the_lines_to_change_are_those_of_the_log(world: World, cluster: Cluster) -> None:
    result = world.remove(cluster.node_ids("workers")[:3])
    lines = [line.text for line in report.of_result(result, world.request, LOG).lines]
    (shown,) = [block for block in blocks() if "InstanceCount" in block]
    assert shown in lines
