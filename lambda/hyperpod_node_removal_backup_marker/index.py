"""The entry: from the question of `BeforeRemoval` to its answer.

Whoever saves what is on a node writes an object named after it when that is done. There is nothing
to undo, so a release does nothing.
"""

import logging
import os
from collections.abc import Mapping
from typing import Any, Final

from botocore.client import BaseClient
from botocore.session import get_session

from hyperpod_node_removal_hook import Answer, Question

_log = logging.getLogger(__name__)
_log.setLevel(logging.INFO)
_WAITS: Final = "true"


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001
    """Veto the nodes whose marker is not there, or say that they are waited for.

    Raises:
        ClientError: S3 could not be asked. Then nothing is removed.
    """
    question, answer = Question.of(event), Answer()
    if question.is_release:
        return {}
    s3 = get_session().create_client("s3")
    bucket, prefix = os.environ["BUCKET"], os.environ["PREFIX"]
    missing = answer.waiting if os.environ["WAITS"] == _WAITS else answer.vetoed
    for node in question.nodes:
        key = f"{prefix}{node.node_id}"
        if not node.node_id:
            continue  # It has no instance yet, so there is nothing on it.
        if not _exists(s3, bucket, key):
            missing[node] = f"no marker s3://{bucket}/{key}; save its data and write one"
        _log.info("%s: %s", node.node_id, missing.get(node, "its marker is there"))
    return answer.to_json()


def _exists(s3: BaseClient, bucket: str, key: str) -> bool:
    # A list and not a HeadObject: of an object that is not there, S3 says 403 to whoever may list
    # a prefix only. Keys come in order, so one that is exactly the prefix is the first.
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
    return any(item["Key"] == key for item in listed.get("Contents", ()))
