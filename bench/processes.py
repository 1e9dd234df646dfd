"""Functions as whole processes, from the start of the interpreter on.

    python -m bench.processes [NODES ...]

prints peak memory and CPU time of the product for sets of several sizes: of the whole process,
interpreter and SDK included (VmHWM of Linux), about what Lambda's "Max Memory Used" counts. Of the
nodes, every fifteenth is refused.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import botocore
import trustme
from werkzeug.wrappers import Request, Response

from bench.scenario import CLUSTER, GROUP, STACK_ID, removal_event
from hyperpod_node_removal._asset import package_folder, staged_code
from sandbox.http_server import serving
from sandbox.hyperpod import HyperPod
from sandbox.interpreters import link_sdk
from sandbox.project import PATH

SIZES: Final = (1, 99, 1000, 3000)
_VALGRIND: Final = (
    *("valgrind", "--tool=cachegrind", "--cache-sim=no", "--branch-sim=no"),
    "--cachegrind-out-file=/dev/null",
)
_STACK: Final = f"""<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">
<DescribeStacksResult><Stacks><member><StackName>ml-stack</StackName><StackId>{STACK_ID}</StackId>
<StackStatus>CREATE_IN_PROGRESS</StackStatus></member></Stacks></DescribeStacksResult>
</DescribeStacksResponse>"""


@dataclass(frozen=True)
class Function:
    """A function's code as it is deployed."""

    code: Path
    module: str


@dataclass(frozen=True)
class Usage:
    """What a process took."""

    cpu_seconds: float
    peak_megabytes: float
    instructions: int = 0
    """Only where they were counted; the other figures are then of no use."""


def ours() -> Function:
    """Return the asset of the construct."""
    return Function(staged_code(), "hyperpod_node_removal_handler.entry")


def naive(folder: Path) -> Function:
    """Deploy the naive handler and crhelper into a new folder."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(__file__).with_name("peers") / "naive", folder, ignore=ignored)
    shutil.copytree(package_folder("crhelper"), folder / "crhelper", ignore=ignored)
    return Function(folder, "index")


def remove(
    function: Function,
    sdk: Path,
    nodes: int,
    *,
    leaves_within: float,
    refused_every: int = 0,
    is_start: bool = False,
) -> tuple[Usage, dict[str, Any]]:
    """Run a function until it has removed nodes. Return what it took, and its reply.

    With `is_start` it is ended at its first request, and valgrind counts its instructions, which
    takes 40 times as long.
    """
    hyperpod = HyperPod()
    cluster = hyperpod.create_cluster(CLUSTER, {GROUP: nodes}, shutdown_seconds=leaves_within)
    node_ids = cluster.node_ids(GROUP)
    for node in node_ids[refused_every - 1 :: refused_every] if refused_every else ():
        cluster.refuse(node)
    trust, replies = sdk.parent / "trust.pem", list[bytes]()
    with _serve(hyperpod, trust, replies) as url:
        given = {
            "code": str(function.code),
            "module": function.module,
            "sdk": str(sdk),
            "event": {
                **removal_event(node_ids, RetryFor="0"),
                "ResponseURL": f"{url}/reply?signature=s3cret",
            },
            "stops_at_first_request": is_start,
        }
        script = Path(__file__).with_name("function_process.py")
        done = subprocess.run(
            [*(_VALGRIND if is_start else ()), sys.executable, "-s", "-S", "-P", str(script)],
            input=json.dumps(given),
            env={
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_ENDPOINT_URL": url,
                "AWS_CA_BUNDLE": str(trust),
                "SSL_CERT_FILE": str(trust),
                "AWS_EC2_METADATA_DISABLED": "true",
                "PATH": PATH,
                "PYTHONHASHSEED": "0",
            },
            capture_output=True,
            text=True,
            check=True,
        )
    usage = json.loads(done.stdout.splitlines()[-1])
    counted = re.search(r"refs:\s+([\d,]+)", done.stderr) if is_start else None
    instructions = int(counted[1].replace(",", "")) if counted else 0
    reply = {} if is_start else json.loads(replies[0])
    return Usage(usage["cpu"], usage["peak"] / 1024, instructions), reply


def _serve(hyperpod: HyperPod, trust: Path, replies: list[bytes]) -> AbstractContextManager[str]:
    """Serve SageMaker, a stack that is being created, and the response URL. Yields the URL.

    Args:
        trust: becomes a file of all authorities that the SDK trusts, and the server's own.
        replies: gets what is sent to the response URL.
    """
    sagemaker = hyperpod.responder()
    authority = trustme.CA()
    of_sdk = Path(botocore.__file__).with_name("cacert.pem")
    trust.write_bytes(of_sdk.read_bytes() + authority.cert_pem.bytes())

    def respond(request: Request) -> Response:
        if request.method == "PUT":
            replies.append(request.get_data())
            return Response()
        if "X-Amz-Target" in request.headers:
            return sagemaker(request)
        return Response(_STACK, content_type="text/xml")

    return serving(respond, authority)


def main(sizes: list[int]) -> None:
    """Print a row for each size."""
    print(f"{'nodes':>6} {'peak MB':>8} {'CPU s':>6}  outcome")
    with tempfile.TemporaryDirectory() as folder:
        sdk = link_sdk(Path(folder, "sdk"))
        for size in sizes:
            usage, reply = remove(ours(), sdk, size, leaves_within=3.0, refused_every=15)
            data = reply["Data"]
            print(
                f"{size:>6} {usage.peak_megabytes:>8.1f} {usage.cpu_seconds:>6.2f}"
                f"  {data['RemovedCount']} removed, {data['FailedCount']} failed"
            )


if __name__ == "__main__":
    main(sorted(int(size) for size in sys.argv[1:]) or list(SIZES))
