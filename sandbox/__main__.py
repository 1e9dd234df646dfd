"""Run a simulated AWS on this machine: `make sandbox`, `python -m sandbox`."""

import argparse
import itertools
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import Any, Final

from sandbox import slurm
from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster, HyperPod
from sandbox.process import SandboxError
from sandbox.schedulers import KINDS, scheduler

# As in the README, so that its commands work as written.
ACCOUNT: Final = "111122223333"
REGION: Final = "us-west-2"
CLUSTER_ID: Final = "a1b2c3d4e5f6"
GROUPS: Final = {"controller": 1, "workers": 8}
EXPORTED: Final = (
    "AWS_",
    "CDK_",
    "JSII_",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
)
_POLL_SECONDS: Final = 0.5


class ShownHyperPod(HyperPod):
    """A HyperPod that prints its calls, and whose cluster has the id that the README shows."""

    def __init__(self, throttle: int) -> None:
        super().__init__(account=ACCOUNT, region=REGION, sleep=time.sleep)
        if throttle:
            numbers = itertools.count(1)
            for operation in ("ListClusterNodes", "DescribeCluster", "BatchDeleteClusterNodes"):
                self.fail_while(operation, lambda _: next(numbers) % throttle == 0)

    def call(self, operation: str, request: Any) -> dict[str, Any]:
        nodes = [*request.get("NodeIds", ()), *request.get("NodeLogicalIds", ())]
        _show(" ".join(["SageMaker", operation, request.get("ClusterName", ""), *nodes]))
        return super().call(operation, request)

    def _arn(self, name: str, seed: int) -> str:  # noqa: ARG002
        return f"arn:aws:sagemaker:{self.region}:{self.account}:cluster/{CLUSTER_ID}"


def arguments(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--cluster", default="ml-cluster", help="name of the HyperPod cluster")
    parser.add_argument(
        "--group",
        action="append",
        type=_count,
        metavar="NAME=COUNT",
        help="an instance group and its nodes; may be repeated (controller=1, workers=8)",
    )
    parser.add_argument("--controller", metavar="GROUP", help="the group of the Slurm controller")
    parser.add_argument(
        "--busy",
        action="append",
        type=_count,
        default=[],
        metavar="GROUP=COUNT",
        help="nodes of a group that are in use and cannot be removed; may be repeated",
    )
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that each call takes")
    parser.add_argument(
        "--throttle", type=int, default=0, metavar="N", help="every Nth call is throttled"
    )
    parser.add_argument(
        "--drain",
        choices=KINDS,
        help="also run a scheduler: a real Slurm (`make slurm`), or a model of the Kubernetes API",
    )
    given = parser.parse_args(words)
    if given.drain == "slurm" and not slurm.is_prepared():
        parser.error(slurm.MISSING)
    given.group = dict(given.group or GROUPS)
    if given.controller is None and "controller" in given.group:
        given.controller = "controller"
    for name in [given.controller, *(group for group, _ in given.busy)]:
        if name is not None and name not in given.group:
            parser.error(f"there is no group {name}; allowed: {', '.join(given.group)}")
    return given


def main(words: list[str]) -> int:
    """Run until Ctrl-C or a SIGTERM."""
    given = arguments(words)
    # SIGINT as well: it is ignored in processes that a shell script starts in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    hyperpod = ShownHyperPod(given.throttle)
    try:
        with Sandbox(hyperpod, account=ACCOUNT, region=REGION) as sandbox, ExitStack() as stack:
            cluster = hyperpod.create_cluster(
                given.cluster,
                given.group,
                given.controller,
                orchestrator="Eks" if given.drain == "eks" else "Slurm",
                shutdown_seconds=(5.0, 20.0),
            )
            for group, count in given.busy:
                for node_id in cluster.node_ids(group)[:count]:
                    cluster.refuse(node_id)
            print("Bootstrapping the account for the CDK ...", flush=True)
            sandbox.bootstrap()
            more = []
            if given.drain:
                running = scheduler(given.drain, sandbox, cluster, _workers(given))
                more = stack.enter_context(running)
            hyperpod.latency = given.latency
            print("\n".join(_introduction(sandbox, cluster, given, more)), flush=True)
            _show_requests(sandbox)
    except KeyboardInterrupt:
        print("\nThe sandbox has stopped, and nothing of it is left.")
    except SandboxError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def _workers(given: argparse.Namespace) -> str:
    """Return the first group that does not run the Slurm controller."""
    groups: list[str] = [*given.group]
    return next((name for name in groups if name != given.controller), groups[0])


def _introduction(
    sandbox: Sandbox, cluster: Cluster, given: argparse.Namespace, more: list[str]
) -> Iterator[str]:
    yield "# Export this where you run the commands:"
    for name, value in sorted(sandbox.environment.items()):
        if name.startswith(EXPORTED):
            yield f"export {name}={value}"
    nodes = ",".join(cluster.node_ids(_workers(given))[:2])
    yield "# The first commands to try; those of the README work, too:"
    yield f"aws sagemaker list-cluster-nodes --cluster-name {given.cluster}"
    yield f"cdk deploy -c cluster={given.cluster} -c node_ids={nodes}"
    yield "aws s3 mb s3://team-artifacts"
    yield from more
    yield "# Calls as they arrive; Ctrl-C stops the sandbox:"


def _show_requests(sandbox: Sandbox) -> None:
    """Print the requests to custom resources and their replies until it is interrupted."""
    sent = received = 0
    while True:
        requests, replies = sandbox.requests(), sandbox.replies()
        for request in requests[sent:]:
            _show(f"CloudFormation {request['RequestType']} {request['LogicalResourceId']}")
        for reply in replies[received:]:
            _show(f"reply {reply.json()['Status'] if reply.status == 200 else reply.status}")  # noqa: PLR2004
        sent, received = len(requests), len(replies)
        time.sleep(_POLL_SECONDS)


def _show(text: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {text}", flush=True)  # noqa: DTZ005 - the reader's time


def _count(text: str) -> tuple[str, int]:
    name, _, count = text.partition("=")
    if not name or not count.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: a name and a number, workers=8")
    return name, int(count)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
