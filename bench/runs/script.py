"""The floor: a script that deletes and polls. It tells a terminal, not CloudFormation."""

from typing import Final
from unittest.mock import patch

from botocore.exceptions import ClientError

from bench.peers.floor import remove_nodes
from bench.scene import CLUSTER, Case, Scene, Told

NAME: Final = "boto3 script"


def run(case: Case) -> Told:
    """One run of the script. Its status is its exit code, its reason what it prints."""
    scene = Scene(case)
    try:
        with (
            patch("boto3.client", scene.clients()),
            scene.clock.as_time(),
        ):
            refused = remove_nodes.remove(CLUSTER, scene.node_ids)
        printed = "\n".join(f"{node_id}: {code}" for node_id, code in refused.items())
        status = "FAILED" if refused else "SUCCESS"
    except ClientError as error:
        printed, status = str(error), "FAILED"
    return scene.told_by_terminal(status, printed)
