"""The event that the README and the landing page show is the function's own."""

import re
from pathlib import Path

import pytest

from sandbox.project import ROOT
from tests.docs.code_blocks import DOCS
from tests.handler.world import World

FRAME = "Received response status [FAILED] from custom resource. Message returned: "


def text_of(page: Path) -> str:
    """A page without marks for bold text, with spaces for line breaks."""
    return " ".join(page.read_text(encoding="utf-8").replace("**", "").split())


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", DOCS / "index.md"], ids=lambda page: page.name
)
def test_the_stack_event_is_what_the_function_says(page: Path) -> None:
    world = World()
    nodes = world.hp.create_cluster("ml-cluster", {"workers": 8}).node_ids("workers")[:7]
    cluster = world.hp.cluster("ml-cluster")
    cluster.refuse(nodes[0], "NodeIdInUse", "Another operation is under way")
    cluster.set_node_status(nodes[1], "SystemUpdating")
    reason = world.report(nodes, retry_for=0).reason
    for number, node in enumerate(nodes):
        reason = reason.replace(node, f"i-0123456789abcdef{number}")
    assert FRAME + reason in text_of(page)


def test_the_landing_page_has_three_doors() -> None:
    cards = re.findall(
        r"^-   :material-.*?\*\*(.*)\*\*$", (DOCS / "index.md").read_text("utf-8"), re.MULTILINE
    )
    assert cards == ["In a CDK app", "In a template", "In a pipeline"]
