"""The function: vetoes nodes that have no marker, or waits for it.

What saves the data of a node writes an object named after the node when it is done. There is
nothing to undo, so a release does nothing.
"""

import os
from collections.abc import Mapping
from typing import Any

from botocore.client import BaseClient
from botocore.session import get_session

from hyperpod_node_removal_hook import Event, LambdaContext, Response, for_each, respond


def handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Respond to an event.

    Raises:
        ClientError: S3 did not list the markers. Then nothing is removed.
    """
    return respond(event, context, check, release=lambda event: None)  # noqa: ARG005


def check(event: Event) -> Response:
    """Return the nodes whose marker is missing."""
    s3, response = get_session().create_client("s3"), Response()
    bucket, prefix = os.environ["BUCKET"], os.environ["PREFIX"]
    missing = response.waiting if os.environ["WAITS"] == "true" else response.vetoed
    exist = for_each(event.nodes, lambda node: _exists(s3, bucket, f"{prefix}{node.node_id}"))
    for node, is_there in zip(event.nodes, exist, strict=True):
        if not is_there:
            key = f"s3://{bucket}/{prefix}{node.node_id}"
            missing[node.node_id] = f"no marker {key}; save its data and write one"
    return response


def _exists(s3: BaseClient, bucket: str, key: str) -> bool:
    # A list and not a HeadObject: for an object that does not exist, S3 responds 403 to a role that
    # may only list a prefix. Keys are sorted, so one that is exactly the prefix is the first.
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
    return any(item["Key"] == key for item in listed.get("Contents", ()))
