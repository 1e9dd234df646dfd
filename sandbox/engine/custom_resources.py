"""Custom resources as CloudFormation drives them, where ministack does otherwise.

Filled in: the function gets its event by an asynchronous invocation, and so up to two more
attempts when it fails; the event has ServiceTimeout at its top level, as text, when it is set; the
reply is read as AWS reads it, and its failure is worded as AWS words it.
"""

import secrets
import string
import uuid
from contextvars import ContextVar
from typing import Any, Final

from ministack.services import lambda_svc
from ministack.services.cloudformation import custom_resource

from sandbox.engine.exchange import Cancelled, Exchange, Operation
from sandbox.engine.internals import internal, replace
from sandbox.engine.replies import CustomResourceFailed, cancelled, no_reply, read_reply

OPERATION: Final[ContextVar[Operation | None]] = ContextVar("operation", default=None)
"""The deployment that this request belongs to, when it can be cancelled."""
_SERVICE_TIMEOUT: Final = 3600


def install(exchange: Exchange) -> None:
    """Change ministack's custom resources in this process."""
    replace(custom_resource, "invoke_custom_resource", lambda _: _requester(exchange))


def _requester(exchange: Exchange) -> Any:
    find_function = internal(lambda_svc, "_get_func_record_for_ref")
    with_config = internal(lambda_svc, "_execution_record_for_config")
    as_strings = internal(custom_resource, "_normalise_resource_properties")

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
        """Send one request and wait for its reply: the physical id and `Data`."""
        token = props.get("ServiceToken", "")
        function, config, _ = find_function(token)
        if function is None or config is None:
            raise ValueError(f"The function of the ServiceToken {token} does not exist.")
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
        exchange.sent(request)
        lambda_svc.invoke_async_with_retry(with_config(function, config), request)
        try:
            body = exchange.wait(request["ResponseURL"], _service_timeout(props), OPERATION.get())
        except Cancelled:
            raise cancelled(request_type) from None
        if body is None:
            raise no_reply(request)
        reply = read_reply(body, request)
        return reply.physical_id, reply.data

    return request_resource


def _service_timeout(props: dict[str, Any]) -> int:
    try:
        return int(props.get("ServiceTimeout", _SERVICE_TIMEOUT))
    except (TypeError, ValueError):
        return _SERVICE_TIMEOUT


def made_up_id(stack_name: str, logical_id: str) -> str:
    """The id CloudFormation gives a resource that gave itself none: `stack-LogicalId-RANDOM`."""
    letters = string.ascii_uppercase + string.digits
    return f"{stack_name}-{logical_id}-{''.join(secrets.choice(letters) for _ in range(12))}"


def replied_id(failure: Exception) -> str:
    """The physical id of the reply that failed a resource; empty when none could be read."""
    return failure.physical_id or "" if isinstance(failure, CustomResourceFailed) else ""
