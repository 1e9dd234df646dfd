"""What answers when the function cannot be loaded, and the SDK in the usual way when in a lean one
it does not start."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

from hyperpod_node_removal_handler import entry, index, sdk
from tests.handler.endpoint import Endpoint
from tests.handler.function import PHYSICAL_ID, Function

SOURCES = Path(entry.__file__).parents[1]

# As Lambda does it: the module is imported, the handler is called. The SDK is there, but without
# something that the function needs of it.
INVOCATION = """
import json, sys, types
import botocore.session
sys.modules["botocore.loaders"] = types.ModuleType("botocore.loaders")
from hyperpod_node_removal_handler.entry import handler
handler(json.load(sys.stdin), types.SimpleNamespace(log_stream_name="2026/11/23/[$LATEST]4f2a91c0"))
"""


def answer_of_broken_function(function: Function, request_type: str) -> Any:
    event = function.event(request_type, {"ClusterName": "ml-cluster", "NodeIds": ["i-12345678"]})
    done = subprocess.run(
        [sys.executable, "-c", INVOCATION],
        input=json.dumps(event),
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot import name 'Loader'" in done.stderr
    assert "s3cret" not in done.stderr
    ((_, _, body),) = function.endpoint.requests
    return json.loads(body)


def test_lambda_is_given_the_function() -> None:
    assert entry.handler is index.handler


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_a_function_that_cannot_be_loaded_answers_all_the_same(
    function: Function, request_type: str
) -> None:
    answer = answer_of_broken_function(function, request_type)
    assert answer["Status"] == "FAILED"
    assert answer["PhysicalResourceId"] == PHYSICAL_ID
    assert answer["Reason"].startswith("The function could not be loaded (ImportError: cannot imp")
    assert answer["Reason"].endswith("CloudWatch Log Stream: 2026/11/23/[$LATEST]4f2a91c0")


def test_a_function_that_cannot_be_loaded_does_not_hold_a_delete_up(function: Function) -> None:
    assert answer_of_broken_function(function, "Delete")["Status"] == "SUCCESS"


def test_the_last_resort_tries_again(function: Function, endpoint: Endpoint) -> None:
    endpoint.statuses = [503, 200]
    entry.answering(ImportError("x\x1b"))(function.event("Create", {}), _Context())
    assert [len(body) < 4096 for _, _, body in endpoint.requests] == [True, True]
    assert b"\\u001b" not in endpoint.requests[0][2]


@pytest.mark.parametrize("event", [None, {}, {"RequestType": "Create"}])
def test_the_last_resort_does_not_raise(event: object) -> None:
    entry.answering(ImportError("x"))(event, _Context())


class _Context:
    log_stream_name = "2026/11/23/[$LATEST]4f2a91c0"


def test_an_sdk_that_does_not_start_in_the_lean_way_starts_in_its_own(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")

    def moved(*_: object) -> None:
        raise TypeError("unexpected keyword argument")

    monkeypatch.setattr(sdk, "_session", moved)
    caplog.set_level(logging.WARNING)
    client = sdk.make_client("sagemaker", Config())
    assert client.meta.endpoint_url == "https://api.sagemaker.us-west-2.amazonaws.com"
    assert hasattr(client, "batch_delete_cluster_nodes")
    assert caplog.messages == ["Starting sagemaker the slow way (TypeError)."]


@pytest.mark.parametrize(
    "lines",
    [
        "from botocore.docs.docstring import ClientMethodDocstring as C\nclass D(C): pass",
        "import botocore.docs.utils as utils\nutils.escape_controls('a')",
        "from botocore.docs import docstring\ndocstring.ClientMethodDocstring.mro()",
    ],
)
def test_an_sdk_that_asks_more_of_what_is_left_out_loads(lines: str) -> None:
    """Another runtime's: its `botocore.client` has a few more lines."""
    code = f"""
from importlib.machinery import SourceFileLoader
whole = SourceFileLoader.get_code
def patched(loader, name):
    if name != "botocore.client":
        return whole(loader, name)
    return compile(loader.get_source(name) + {lines!r} + "\\nIS_PATCHED = True", name, "exec")
SourceFileLoader.get_code = patched
from hyperpod_node_removal_handler import aws, entry, index
from botocore.client import IS_PATCHED
assert entry.handler is index.handler, "not loaded"
print(aws.client("sagemaker").meta.endpoint_url)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SOURCES), "AWS_DEFAULT_REGION": "us-west-2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "https://api.sagemaker.us-west-2.amazonaws.com\n", done.stderr


def test_what_the_environment_asks_for_is_loaded_before_any_removal() -> None:
    """An import that fails after the removal would cost its report."""
    code = (
        "import sys\n"
        "import hyperpod_node_removal_handler as package\n"
        "from hyperpod_node_removal_handler import entry\n"
        "print(*(name for name in ('metrics', 'removal_event') if hasattr(package, name)))\n"
    )
    told = {
        variables: subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(SOURCES), **dict.fromkeys(variables, "true")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for variables in ((), ("METRICS",), ("EVENT_BUS",))
    }
    assert told == {(): [], ("METRICS",): ["metrics"], ("EVENT_BUS",): ["removal_event"]}
