"""What CloudFormation makes of the body that is put to a ResponseURL.

Facts: the user guide, custom resource response objects, for the fields, the 4,096 bytes and the
event texts that users report. Not documented, and so the sandbox's own choice: that a wrong field
fails the resource in the words below, and that the checks come in this order.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final

MAX_BYTES: Final = 4096
MAX_PHYSICAL_ID: Final = 1024
COPIED: Final = ("StackId", "RequestId", "LogicalResourceId")
"""Fields that a reply copies verbatim from its request."""


@dataclass(frozen=True)
class Accepted:
    """A reply that makes the resource complete."""

    physical_id: str
    data: dict[str, Any] = field(default_factory=dict)


class CustomResourceFailed(Exception):  # noqa: N818 - named for what CloudFormation says
    """The resource fails; the text is the reason in the stack event."""

    def __init__(self, reason: str, physical_id: str | None = None) -> None:
        super().__init__(reason)
        self.physical_id = physical_id
        """The id from the reply, when it could be read."""


def no_reply(request: dict[str, Any]) -> CustomResourceFailed:
    """The failure of a resource that has not answered within its ServiceTimeout."""
    return CustomResourceFailed(
        "CloudFormation did not receive a response from your Custom Resource. Please check your"
        f" logs for requestId [{request['RequestId']}]. If you are using the Python cfn-response"
        " module, you may need to update your Lambda function code so that CloudFormation can"
        " attach the updated version."
    )


def cancelled(request_type: str) -> CustomResourceFailed:
    """The failure of a resource that the stack no longer waits for, since another one failed."""
    verb = "creation" if request_type == "Create" else "update"
    return CustomResourceFailed(f"Resource {verb} cancelled")


def read_reply(body: bytes, request: dict[str, Any]) -> Accepted:
    """Read the body of a reply.

    Raises:
        CustomResourceFailed: the reply says FAILED, or is not one that CloudFormation takes.
    """
    if len(body) > MAX_BYTES:
        raise CustomResourceFailed("Response object is too long.")
    reply = _parse(body)
    physical_id = reply.get("PhysicalResourceId")
    if not isinstance(physical_id, str) or not 0 < len(physical_id) <= MAX_PHYSICAL_ID:
        raise CustomResourceFailed("Invalid PhysicalResourceId")
    for name in COPIED:
        if reply.get(name) != request[name]:
            raise CustomResourceFailed(f"Invalid {name}", physical_id)
    reason = reply.get("Reason", "")
    if not isinstance(reason, str):
        raise CustomResourceFailed("Invalid Reason", physical_id)
    data = reply.get("Data", {})
    if data is not None and not isinstance(data, dict):
        raise CustomResourceFailed("Invalid Data", physical_id)
    match reply.get("Status"):
        case "SUCCESS":
            return Accepted(physical_id, data or {})
        case "FAILED":
            raise CustomResourceFailed(
                "Received response status [FAILED] from custom resource. Message returned:"
                f" {reason} (RequestId: {request['RequestId']})",
                physical_id,
            )
    raise CustomResourceFailed("Invalid Status", physical_id)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        reply = json.loads(body)
    except ValueError:
        raise CustomResourceFailed("Response is not valid JSON.") from None
    if not isinstance(reply, dict):
        raise CustomResourceFailed("Response is not valid JSON.")
    return reply
