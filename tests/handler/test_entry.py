"""What answers when the function cannot be loaded."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hyperpod_node_removal_handler import entry, index
from tests.handler.endpoint import Endpoint
from tests.handler.world import PHYSICAL_ID, World

SOURCES = Path(entry.__file__).parents[1]

# As Lambda does it: the module is imported, the handler is called. The SDK is there, but without
# something that the function needs of it.
INVOCATION = """
import json, sys, types
import botocore
sys.modules["botocore.session"] = types.ModuleType("botocore.session")
from hyperpod_node_removal_handler.entry import handler
handler(json.load(sys.stdin), types.SimpleNamespace(log_stream_name="2026/11/23/[$LATEST]4f2a91c0"))
"""


def answer_of_broken_function(world: World, request_type: str) -> Any:
    event = world.event(request_type, {"ClusterName": "ml-cluster", "NodeIds": ["i-12345678"]})
    done = subprocess.run(
        [sys.executable, "-c", INVOCATION],
        input=json.dumps(event),
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot import name 'Session'" in done.stderr
    assert "s3cret" not in done.stderr
    ((_, _, body),) = world.endpoint.requests
    return json.loads(body)


def test_lambda_is_given_the_function() -> None:
    assert entry.handler is index.handler


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_a_function_that_cannot_be_loaded_still_responds(world: World, request_type: str) -> None:
    answer = answer_of_broken_function(world, request_type)
    assert answer["Status"] == "FAILED"
    assert answer["PhysicalResourceId"] == PHYSICAL_ID
    assert answer["Reason"].startswith("The function could not be loaded (ImportError: cannot imp")
    assert "this invocation made no call" in answer["Reason"], "an earlier one may have"
    assert answer["Reason"].endswith("CloudWatch Log Stream: 2026/11/23/[$LATEST]4f2a91c0")


def test_a_function_that_cannot_be_loaded_does_not_hold_a_delete_up(world: World) -> None:
    assert answer_of_broken_function(world, "Delete")["Status"] == "SUCCESS"


def test_the_last_resort_tries_again(world: World, endpoint: Endpoint) -> None:
    endpoint.statuses = [503, 200]
    entry.answering(ImportError("x\x1b"))(world.event("Create", {}), _Context())
    assert [len(body) < 4096 for _, _, body in endpoint.requests] == [True, True]
    assert b"\\u001b" not in endpoint.requests[0][2]


@pytest.mark.parametrize("event", [None, {}, {"RequestType": "Create"}])
def test_the_last_resort_does_not_raise(event: object) -> None:
    entry.answering(ImportError("x"))(event, _Context())


class _Context:
    log_stream_name = "2026/11/23/[$LATEST]4f2a91c0"
