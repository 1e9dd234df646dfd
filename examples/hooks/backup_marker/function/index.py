"""A hook that wants a proof for every node: an object in S3 named after the node.

Whoever saves what is on a node writes the object when it is done. A node without one is vetoed.
"""

import os
from typing import Any

import boto3

_s3 = boto3.client("s3")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001
    """Answer `BeforeRemoval`: veto the nodes whose marker is not there.

    Raises:
        ClientError: S3 could not be asked. Then nothing is removed.
        ValueError: the event is of another version.
    """
    if event["Version"] != "1":
        raise ValueError(f"version {event['Version']} of the event is unknown; allowed: 1")
    bucket, prefix = os.environ["BUCKET"], os.environ["PREFIX"]
    vetoed = []
    for node in event["Nodes"]:
        if not node["NodeId"]:
            continue  # It has no instance yet, so there is nothing on it.
        key = f"{prefix}{node['NodeId']}"
        if not _exists(bucket, key):
            reason = f"no marker s3://{bucket}/{key}; save its data and write one"
            vetoed.append({"NodeId": node["NodeId"], "Reason": reason})
    return {"Decision": "PROCEED", "VetoedNodes": vetoed}


def _exists(bucket: str, key: str) -> bool:
    # A list and not a HeadObject: of an object that is not there, S3 says 403 to whoever may list
    # a prefix only. Keys come in order, so one that is exactly the prefix is the first.
    listed = _s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
    return any(item["Key"] == key for item in listed.get("Contents", ()))
