"""The figures of `make bench` for what is deployed."""

import json

import pytest

from bench.scenario import Case, Scenario
from bench.sections import package


@pytest.fixture(scope="module")
def deployed() -> package.Deployed:
    return package.measure()


def test_the_asset_is_within_its_goal(deployed: package.Deployed) -> None:
    assert deployed.zipped_bytes <= package.GOAL
    assert deployed.files < 60


def test_the_product_is_one_function_with_no_wildcard_and_no_finding(
    deployed: package.Deployed,
) -> None:
    assert (deployed.functions, deployed.resources, deployed.statements) == (1, 7, 4)
    assert (deployed.wildcards, deployed.findings) == (0, 0)


def test_an_update_of_the_largest_set_fits_the_payload_of_an_asynchronous_invocation() -> None:
    event = Scenario(Case(3000, 3750)).event()
    event["OldResourceProperties"] = event["ResourceProperties"]
    assert len(json.dumps(event)) < 256 * 1024
