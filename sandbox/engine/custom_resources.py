"""Custom resources as in CloudFormation, where ministack differs.

Changed: the function is invoked asynchronously, and so is retried up to twice if it fails; the
event has ServiceTimeout at its top level, as text, if it is set; the reply is read as
CloudFormation reads it, and a failure has CloudFormation's text.

Sources: the user guide, custom resource response objects, for the fields and the 4,096 bytes, and
event texts that users report. Not documented, and therefore the sandbox's own choice: that a wrong
field fails the resource with the texts below, and the order of the checks.
"""

import json
import secrets
import string
import uuid
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final

from ministack.services import lambda_svc
from ministack.services.cloudformation import custom_resource

from sandbox.engine import replace
from sandbox.engine.exchange import Canceled, Exchange, Operation

MAX_BYTES: Final = 4096
MAX_PHYSICAL_ID: Final = 1024
COPIED: Final = ("StackId", "RequestId", "LogicalResourceId")
"""Fields that a reply copies verbatim from its request."""
OPERATION: Final[ContextVar[Operation | None]] = ContextVar("operation", default=None)
"""The deployment that this request belongs to, if it can be canceled."""
_SERVICE_TIMEOUT: Final = 3600


class CustomResourceFailed(Exception):  # noqa: N818 - named as CloudFormation says it
    """The resource fails; the text is the reason in the stack event."""

    def __init__(self, reason: str, physical_id: str = "") -> None:
        super().__init__(reason)
        self.physical_id = physical_id
        """The id from the reply; empty if it could not be read."""


def read_reply(body: bytes, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the physical id and `Data` of a reply.

    Raises:
        CustomResourceFailed: the reply says FAILED, or CloudFormation does not accept it.
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
            return physical_id, data or {}
        case "FAILED":
            raise CustomResourceFailed(
                "Received response status [FAILED] from custom resource. Message returned:"
                f" {reason} (RequestId: {request['RequestId']})",
                physical_id,
            )
    raise CustomResourceFailed("Invalid Status", physical_id)


def _parse(body: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        reply = json.loads(body)
        if isinstance(reply, dict):
            return reply
    raise CustomResourceFailed("Response is not valid JSON.")


def install(exchange: Exchange) -> None:
    """Change ministack's custom resources in this process."""

    def request_resource(  # noqa: PLR0917 - the signature is ministack's
        request_type: str,
        logical_id: str,
        props: dict[str, Any],
        stack_name: str,  # noqa: ARG001
        stack_id: str,
        resource_type: str,
        physical_id: str | None = None,
        old_props: dict[str, Any] | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """Send a request and wait for its reply. Returns the physical id and `Data`."""
        token = props.get("ServiceToken", "")
        function, config, _ = lambda_svc._get_func_record_for_ref(token)
        if function is None or config is None:
            raise ValueError(f"The function of the ServiceToken {token} does not exist.")
        timeout = int(props.get("ServiceTimeout", _SERVICE_TIMEOUT))
        as_strings = custom_resource._normalise_resource_properties
        request_id = str(uuid.uuid4())
        request: dict[str, Any] = {
            "RequestType": request_type,
            "ServiceToken": token,
            "ResponseURL": exchange.response_url(request_id),
            "StackId": stack_id,
            "RequestId": request_id,
            "LogicalResourceId": logical_id,
            "ResourceType": resource_type,
            "ResourceProperties": as_strings(props),
        }
        if "ServiceTimeout" in props:
            request["ServiceTimeout"] = str(props["ServiceTimeout"])
        if physical_id is not None:
            request["PhysicalResourceId"] = physical_id
        if old_props is not None:
            request["OldResourceProperties"] = as_strings(old_props)
        exchange.requests.append(request)
        record = lambda_svc._execution_record_for_config(function, config)
        lambda_svc.invoke_async_with_retry(record, request)
        try:
            body = exchange.wait(request["ResponseURL"], timeout, OPERATION.get())
        except Canceled:
            verb = "creation" if request_type == "Create" else "update"
            raise CustomResourceFailed(f"Resource {verb} cancelled") from None
        if body is None:
            raise CustomResourceFailed(
                "CloudFormation did not receive a response from your Custom Resource. Please check"
                f" your logs for requestId [{request_id}]. If you are using the Python cfn-response"
                " module, you may need to update your Lambda function code so that CloudFormation"
                " can attach the updated version."
            )
        return read_reply(body, request)

    replace(custom_resource, "invoke_custom_resource", lambda _: request_resource)


def generated_id(stack_name: str, logical_id: str) -> str:
    """Return an id as CloudFormation generates it for a resource without a reply."""
    letters = string.ascii_uppercase + string.digits
    return f"{stack_name}-{logical_id}-{''.join(secrets.choice(letters) for _ in range(12))}"
