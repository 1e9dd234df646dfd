"""Peak memory and CPU time of the function for sets of several sizes, each in a process of its own.

    python -m bench.measure_function [NODES ...]

The asset runs as it is deployed, with the SDK and nothing else. AWS is the HTTPS endpoint of the
benchmarks: the model of HyperPod with nodes that take 3 s to leave, of which every fifteenth
refuses, a stack that is being created, and the response URL. What is printed is the whole process,
interpreter and SDK included (VmHWM of Linux): about what Lambda's "Max Memory Used" counts.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench import endpoint, processes
from bench.scenario import CLUSTER, Case, Scenario
from sandbox.hyperpod import HyperPod

SIZES: Final = (1, 99, 1000, 3000)


def main(sizes: list[int]) -> None:
    """Print a row for each size."""
    print(f"{'nodes':>6} {'peak MB':>8} {'CPU s':>6}  outcome")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sdk = processes.link_sdk(folder / "sdk")
        for size in sizes:
            print(_row(size, sdk, folder))


def _row(size: int, sdk: Path, folder: Path) -> str:
    hyperpod = HyperPod()
    cluster = hyperpod.create_cluster(CLUSTER, {"workers": size}, shutdown_seconds=3.0)
    node_ids = cluster.node_ids("workers")
    for node in node_ids[14::15]:
        cluster.refuse(node)
    event = Scenario(Case(1, 1)).event(NodeIds=list(node_ids), RetryFor="0")
    with endpoint.serve(hyperpod, folder) as aws:
        usage = processes.run(processes.ours(), sdk, aws, event, stops_at_first_request=False)
    data = json.loads(aws.replies[0])["Data"]
    return (
        f"{size:>6} {usage.peak_megabytes:>8.1f} {usage.cpu_seconds:>6.2f}"
        f"  {data['RemovedCount']} removed, {data['FailedCount']} failed"
    )


if __name__ == "__main__":
    main(sorted(int(size) for size in sys.argv[1:]) or list(SIZES))
