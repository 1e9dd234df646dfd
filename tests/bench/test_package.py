"""What `make bench` says of what is deployed."""

import pytest

from bench.peers.stacks import STACKS
from bench.sections import growth, package

pytestmark = pytest.mark.xdist_group("bench-package")


@pytest.fixture(scope="module")
def deployed() -> dict[str, package.Deployed]:
    return {row.peer: row for row in package.measure()}


def test_the_asset_is_within_its_goal() -> None:
    size, files = package.asset()
    assert size <= package.GOAL
    assert files < 60


def test_the_product_is_one_function_with_no_wildcard_and_no_finding(
    deployed: dict[str, package.Deployed],
) -> None:
    ours = deployed["this product"]
    assert (ours.functions, ours.resources, ours.statements) == (1, 7, 4)
    assert (ours.wildcards, ours.findings) == (0, 0)


def test_every_peer_is_counted(deployed: dict[str, package.Deployed]) -> None:
    assert deployed.keys() == STACKS.keys()
    assert deployed["CDK Provider"].functions == 5
    assert all(row.findings for row in deployed.values() if row.peer != "this product")


def test_the_largest_set_fits_into_the_events_of_lambda() -> None:
    assert growth._event_bytes(3000) < growth.PAYLOAD_MAX
    assert growth._handover_bytes(3000) < growth.PAYLOAD_MAX / 2
