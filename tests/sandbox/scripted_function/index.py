"""A custom resource that runs the scripts in its properties, for tests of the sandbox.

The property named like the request type (`Create`, `Update`, `Delete`) is a JSON object of

- `crash`, `exit`: in how many attempts to raise an error, or to end the process, without a reply;
- `again`: how many times to invoke this function in a chain before the reply, as far as Lambda
  allows;
- `hold`: a port, to wait until a connection to it is closed;
- `sleep`: seconds before the reply;
- `call`: whether to make AWS calls, and put their results into `Data`;
- `payload`: bytes of an event to invoke this function with, and put the error's code into `Data`;
- `times`: how often to send the reply;
- anything else: a field of the reply, which is left out if it is null.
"""

import json
import logging
import os
import socket
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

logger = logging.getLogger("scripted")


def handler(event: dict[str, Any], context: Any) -> None:
    script = json.loads(event["ResourceProperties"].get(event["RequestType"], "{}"))
    attempts = Path(tempfile.gettempdir(), event["RequestId"])
    attempts.write_text(attempts.read_text() + "x" if attempts.exists() else "x")
    logger.info("attempt %s", len(attempts.read_text()))
    if len(attempts.read_text()) <= script.pop("crash", 0):
        raise RuntimeError("a requested crash")
    if len(attempts.read_text()) <= script.pop("exit", 0):
        sys.exit(3)
    links = script.pop("again", 0)
    done = event.get("Links", 0)
    if done < links:
        client = boto3.client("lambda")
        payload = json.dumps({**event, "Links": done + 1})
        with suppress(client.exceptions.RecursiveInvocationException):
            client.invoke(
                FunctionName=context.function_name, InvocationType="Event", Payload=payload
            )
            return
    if held_by := script.pop("hold", None):
        with socket.create_connection(("127.0.0.1", held_by)) as holder:
            holder.recv(1)
    time.sleep(script.pop("sleep", 0))
    times = script.pop("times", 1)
    reply = {
        "Status": "SUCCESS",
        "Reason": "",
        "PhysicalResourceId": event.get("PhysicalResourceId", "scripted"),
        "Data": {},
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    if script.pop("call", False):
        reply["Data"] = look_around(event, context)
    if size := script.pop("payload", 0):
        reply["Data"] = {"Code": invoked_with(size, context)}
    reply.update(script)
    text = json.dumps({k: v for k, v in reply.items() if v is not None})
    for _ in range(times):
        put(event["ResponseURL"], text)


def look_around(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Return what the function sees of its environment and of AWS."""
    stacks = boto3.client("cloudformation").describe_stacks(StackName=event["StackId"])["Stacks"]
    nodes = boto3.client("sagemaker").list_cluster_nodes(ClusterName="ml-cluster")
    logger.warning("looking around", extra={"unused": 1})
    return {
        "StackStatus": stacks[0]["StackStatus"],
        "Operation": stacks[0]["LastOperations"][0]["OperationType"],
        "Nodes": str(len(nodes["ClusterNodeSummaries"])),
        "Links": str(event.get("Links", 0)),
        "Greeting": os.environ.get("GREETING", ""),
        "LogGroup": context.log_group_name,
        "LogStream": context.log_stream_name,
        "Memory": str(context.memory_limit_in_mb),
        "RemainingSeconds": str(context.get_remaining_time_in_millis() // 1000),
        "Pid": str(os.getpid()),
        "LoggedSoFar": logged_so_far(context),
        "Python": "{}.{}".format(*sys.version_info),
        "Runtime": os.environ["AWS_EXECUTION_ENV"],
        "SeesProject": "no" if find_spec("sandbox") is None else "yes",
        "SeesItself": str(Path(os.environ.get("ITSELF", "")).is_file()),
        "CodeFirst": str(sys.path[0] == str(Path(__file__).parent)),
    }


def logged_so_far(context: Any) -> str:
    """Return the log of this invocation, once it has any of its own lines."""
    while True:
        events = boto3.client("logs").get_log_events(
            logGroupName=context.log_group_name, logStreamName=context.log_stream_name
        )["events"]
        lines = [event["message"] for event in events if "looking around" in event["message"]]
        if lines:
            return "\n".join(lines)


def invoked_with(size: int, context: Any) -> str:
    """Return the error code of an asynchronous invocation; empty if it succeeds."""
    payload = json.dumps({"ResourceProperties": {}, "RequestType": "", "RequestId": ""})
    try:
        boto3.client("lambda").invoke(
            FunctionName=context.function_name,
            InvocationType="Event",
            Payload=payload[:-1] + " " * (size - len(payload)) + payload[-1],
        )
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def put(url: str, text: str) -> None:
    request = urllib.request.Request(url, text.encode(), {"Content-Type": ""}, method="PUT")
    with urllib.request.urlopen(request, timeout=5) as response:
        assert response.status == 200
