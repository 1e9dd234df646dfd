"""The scripts, each as many at a time as there are removals."""

from functools import partial
from typing import Final

import boto3

from bench.peers import scripts
from bench.scenario import CLUSTER, RETRY_FOR, Case, PeerResult, Scenario

LOOKS: Final = {
    "list script": scripts.list_cluster,
    "describe script": scripts.describe_each,
    "filter script": scripts.list_group,
}
"""By the names of the peers."""


def run(name: str, case: Case) -> PeerResult:
    """Run a script to its end. Its status is its exit code, its reason what it prints."""
    scenario = Scenario(case)
    with scenario.reached(), scenario.clock.as_time():
        scenario.clock.together(
            [partial(_run, scenario, LOOKS[name], number) for number in range(case.removals)]
        )
    return scenario.result()


def _run(scenario: Scenario, look: scripts.Look, number: int) -> None:
    # The SDK itself only where its retries play a part: it takes five times as long.
    new_client = boto3.client if scenario.case.rate else scenario.clients()
    client = new_client("sagemaker", config=scripts.RETRIES)
    refused = scripts.remove(client, CLUSTER, scenario.sets[number], look, RETRY_FOR)
    printed = "\n".join(f"{node}: {code}" for node, code in refused.items())
    scenario.exit(number, "FAILED" if refused else "SUCCESS", printed)
