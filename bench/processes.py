"""Functions as whole processes, from the start of the interpreter on."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from bench.endpoint import Endpoint
from bench.peers.code import deployable
from bench.project import BENCH
from hyperpod_node_removal._asset import staged_code

_SDK: Final = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")
"""What Lambda's Python runtime has beside the function."""


@dataclass(frozen=True)
class Function:
    """A function's code as it is deployed."""

    code: Path
    module: str


@dataclass(frozen=True)
class Usage:
    """What a process took."""

    cpu_seconds: float
    wall_seconds: float
    peak_megabytes: float


def ours() -> Function:
    """The asset of the construct."""
    return Function(staged_code(), "hyperpod_node_removal_handler.entry")


def naive() -> Function:
    """The naive handler with crhelper beside it."""
    return Function(deployable("naive"), "index")


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
) -> Usage:
    """One process, from its start to the first request or to the reply."""
    given = {
        "code": str(function.code),
        "module": function.module,
        "sdk": str(sdk),
        "event": {**event, "ResponseURL": f"{endpoint.url}/reply?signature=s3cret"},
        "stops_at_first_request": stops_at_first_request,
    }
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(BENCH / "function_process.py")],
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
        },
        capture_output=True,
        text=True,
        check=True,
    )
    usage = json.loads(done.stdout.splitlines()[-1])
    return Usage(usage["cpu"], usage["time"] - began, usage["peak"] / 1024)
