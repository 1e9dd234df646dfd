"""Peak memory and CPU time of the function for sets of several sizes, each in a process of its own.

    python -m scripts.measure_function [NODES ...]

SageMaker is the model of HyperPod over HTTP with nodes that take 3 s to leave; every fifteenth node
refuses. CloudFormation's two ends are stubs. What is printed is the whole process, interpreter and
SDK included (VmHWM of Linux): about what Lambda's "Max Memory Used" counts.
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Final

from sandbox.hyperpod import HyperPod

SIZES: Final = (1, 99, 1000, 3000)
PROJECT: Final = Path(__file__).resolve().parents[1]

CHILD: Final = """
import json, sys
from hyperpod_node_removal_handler import aws, index, reply

class CloudFormation:
    def describe_stacks(self, **request):
        return {"Stacks": [{"StackStatus": "CREATE_IN_PROGRESS"}]}

class Context:
    log_group_name = "group"
    log_stream_name = "stream"
    invoked_function_arn = "arn"

    def get_remaining_time_in_millis(self):
        return 900_000

real = aws.client
aws.client = lambda service: CloudFormation() if service == "cloudformation" else real(service)
reply.put = lambda url, body, timeout: print(body.decode())
index.handler(json.load(sys.stdin), Context())
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def main(sizes: list[int]) -> None:
    """Print a row for each size."""
    print(f"{'nodes':>6} {'peak MB':>8} {'CPU s':>6}  outcome")
    for size in sizes:
        hyperpod = HyperPod()
        cluster = hyperpod.create_cluster("measured", {"workers": size}, shutdown_seconds=3.0)
        for node in cluster.node_ids("workers")[14::15]:
            cluster.refuse(node)
        event = {
            "RequestType": "Create",
            "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/s/guid",
            "RequestId": "r",
            "LogicalResourceId": "Removal",
            "ResponseURL": "https://127.0.0.1/",
            "ResourceProperties": {
                "ClusterName": "measured",
                "NodeIds": list(cluster.node_ids("workers")),
                "RetryFor": "0",
            },
        }
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with hyperpod.serve() as url:
            done = subprocess.run(
                [sys.executable, "-c", CHILD],
                input=json.dumps(event),
                env={
                    "PATH": os.environ["PATH"],
                    "AWS_REGION": "us-east-1",
                    "AWS_DEFAULT_REGION": "us-east-1",
                    "AWS_ACCESS_KEY_ID": "testing",
                    "AWS_SECRET_ACCESS_KEY": "testing",
                    "AWS_ENDPOINT_URL_SAGEMAKER": url,
                },
                capture_output=True,
                text=True,
                check=True,
            )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        reply, peak = done.stdout.splitlines()
        data = json.loads(reply)["Data"]
        print(
            f"{size:>6} {int(peak) / 1024:>8.1f} {cpu:>6.2f}"
            f"  {data['RemovedCount']} removed, {data['FailedCount']} failed"
        )


if __name__ == "__main__":
    main(sorted(int(size) for size in sys.argv[1:]) or list(SIZES))
