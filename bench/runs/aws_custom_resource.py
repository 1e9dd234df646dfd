"""The CDK's AwsCustomResource: its real runtime and the real SDK for JavaScript, over HTTP.

One resource makes one call, so a larger set is as many resources, each with 99 nodes. It does not
wait for anything: what it answers is the answer of the call.
"""

import json

from bench.runs.node_runtime import AWS_CUSTOM_RESOURCE, node_runtime
from bench.scenario import BATCH, CLUSTER, Case, PeerResult, Scenario


def run(case: Case) -> PeerResult:
    """All resources of one removal; its answer is the first that failed, or else the last."""
    scenario = Scenario(case)
    bodies: list[bytes] = []
    with (
        scenario.hyperpod.serve() as url,
        node_runtime(AWS_ENDPOINT_URL_SAGEMAKER=url) as node,
    ):
        for start in range(0, case.nodes, BATCH):
            call = {
                "service": "SageMaker",
                "action": "batchDeleteClusterNodes",
                "outputPaths": ["Failed"],
                "physicalResourceId": {"id": f"{CLUSTER}-removal-{start}"},
                "parameters": {
                    "ClusterName": CLUSTER,
                    "NodeIds": list(scenario.node_ids[start : start + BATCH]),
                },
            }
            event = scenario.event(Create=json.dumps(call), InstallLatestAwsSdk="false")
            del event["ResourceProperties"]["NodeIds"]
            node.invoke(AWS_CUSTOM_RESOURCE, "handler", event, on_put=bodies.append)
    failed = [body for body in bodies if json.loads(body)["Status"] != "SUCCESS"]
    scenario.reply((failed or bodies[-1:])[0])
    return scenario.result()
