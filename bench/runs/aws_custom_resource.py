"""The CDK's AwsCustomResource: its real runtime and the real SDK for JavaScript, over HTTP.

One resource makes one call, so a larger set is as many resources, each with 99 nodes. It does not
wait for anything: what it tells is the answer of the call.
"""

import json
from typing import Final

from bench.runs.node_runtime import AWS_CUSTOM_RESOURCE, node_runtime
from bench.scene import CLUSTER, Case, Scene, Told

NAME: Final = "AwsCustomResource"
BATCH: Final = 99


def run(case: Case) -> Told:
    """All resources of one removal; what is told is the first that failed, or else the last."""
    scene = Scene(case)
    with (
        scene.hyperpod.serve() as url,
        node_runtime(AWS_ENDPOINT_URL_SAGEMAKER=url) as node,
    ):
        batches = range(0, case.nodes, BATCH)
        for start in batches:
            call = {
                "service": "SageMaker",
                "action": "batchDeleteClusterNodes",
                "outputPaths": ["Failed"],
                "physicalResourceId": {"id": f"{CLUSTER}-removal-{start}"},
                "parameters": {
                    "ClusterName": CLUSTER,
                    "NodeIds": list(scene.node_ids[start : start + BATCH]),
                },
            }
            event = scene.event(Create=json.dumps(call), InstallLatestAwsSdk="false")
            del event["ResourceProperties"]["NodeIds"]
            node.invoke(AWS_CUSTOM_RESOURCE, "handler", event, on_put=scene.reply)
    failed = [put for put in scene.put if json.loads(put[1])["Status"] != "SUCCESS"]
    scene.put[:] = failed[:1] or scene.put[-1:]
    return scene.told(busy_seconds=scene.clock.now() - scene.started, invocations=len(batches))
