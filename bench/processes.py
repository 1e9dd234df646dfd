"""Functions as whole processes, from the start of the interpreter on."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from bench.endpoint import Endpoint
from bench.peers.code import naive_with_crhelper
from bench.project import BENCH
from hyperpod_node_removal._asset import staged_code
from sandbox.project import PATH

_SDK: Final = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")
"""What Lambda's Python runtime has beside the function."""
_COUNTED: Final = (
    "valgrind",
    "--tool=cachegrind",
    "--cache-sim=no",
    "--branch-sim=no",
    "--cachegrind-out-file=/dev/null",
)


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
    """The asset of the construct."""
    return Function(staged_code(), "hyperpod_node_removal_handler.entry")


def naive() -> Function:
    """The naive handler with crhelper beside it."""
    return Function(naive_with_crhelper(), "index")


def link_sdk(directory: Path) -> Path:
    """A folder with the SDK and nothing else."""
    directory.mkdir()
    cache = directory / "__pycache__"
    cache.mkdir()
    for name in _SDK:
        spec = find_spec(name)
        assert spec, f"{name} is not installed"
        assert spec.origin
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (directory / source.name).symlink_to(source)
        if source is origin and spec.cached:
            (cache / Path(spec.cached).name).symlink_to(spec.cached)
    return directory


def run(
    function: Function,
    sdk: Path,
    endpoint: Endpoint,
    event: Mapping[str, Any],
    *,
    stops_at_first_request: bool,
    is_counted: bool = False,
) -> Usage:
    """One process, from its start to the first request or to the reply.

    With `is_counted` valgrind counts its instructions, which takes 40 times as long.
    """
    given = {
        "code": str(function.code),
        "module": function.module,
        "sdk": str(sdk),
        "event": {**event, "ResponseURL": f"{endpoint.url}/reply?signature=s3cret"},
        "stops_at_first_request": stops_at_first_request,
    }
    done = subprocess.run(
        [
            *(_COUNTED if is_counted else ()),
            *(sys.executable, "-s", "-S", "-P", str(BENCH / "function_process.py")),
        ],
        input=json.dumps(given),
        env={
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_ENDPOINT_URL": endpoint.url,
            "AWS_CA_BUNDLE": str(endpoint.trust),
            "SSL_CERT_FILE": str(endpoint.trust),
            "AWS_EC2_METADATA_DISABLED": "true",
            "PATH": PATH,
            "PYTHONHASHSEED": "0",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    usage = json.loads(done.stdout.splitlines()[-1])
    counted = re.search(r"refs:\s+([\d,]+)", done.stderr) if is_counted else None
    instructions = int(counted[1].replace(",", "")) if counted else 0
    return Usage(usage["cpu"], usage["peak"] / 1024, instructions)
