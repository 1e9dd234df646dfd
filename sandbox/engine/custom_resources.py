"""Custom resources as CloudFormation drives them, where ministack does otherwise.

Filled in: the function gets its event by an asynchronous invocation, and so up to two more
attempts when it fails; the reply is read as AWS reads it, and its failure is worded as AWS words
it; a resource whose Create failed gets a Delete in the rollback or when the stack is deleted; a
stack event's reason is cut at 1,024 characters; DescribeStackResources still knows the resources
of a create that was rolled back (the CDK CLI finds the function's log by it).

Still not as on AWS: attempts follow each other in a fraction of a second instead of one and two
minutes; resources are made one after the other; Deletes after a successful update are sent while
the stack is in UPDATE_IN_PROGRESS (on AWS UPDATE_COMPLETE_CLEANUP_IN_PROGRESS) and leave no events;
after a failed create with rollback disabled, the next update sends Create again.
"""

import secrets
import string
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

from ministack.services import cloudformation, lambda_svc
from ministack.services.cloudformation import custom_resource, handlers, stacks

from sandbox.engine.exchange import Exchange
from sandbox.engine.internals import internal, replace
from sandbox.engine.replies import Accepted, CustomResourceFailed, no_reply, read_reply

REASON_SHOWN: Final = 1024
"""Characters of a reason that a stack event keeps, as practitioners report."""
_SERVICE_TIMEOUT: Final = 3600
_ROLLED_BACK: Final = "_rolled_back"
"""Where a stack's record keeps what a rollback deleted."""


@dataclass
class FailedCreates:
    """Resources whose Create failed and that are owed a Delete, by stack id and logical id."""

    _records: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def add(self, request: dict[str, Any], physical_id: str, properties: dict[str, Any]) -> None:
        key = (request["StackId"], request["LogicalResourceId"])
        self._records[key] = {
            "PhysicalResourceId": physical_id,
            "ResourceType": request["ResourceType"],
            "ResourceStatus": "CREATE_FAILED",
            "LogicalResourceId": request["LogicalResourceId"],
            "Properties": properties,
            "Attributes": {},
        }

    def physical_id(self, stack_id: str, logical_id: str) -> str:
        record = self._records.get((stack_id, logical_id), {})
        return str(record.get("PhysicalResourceId", ""))

    def hand_over(self, stack_id: str, resources: dict[str, Any]) -> list[str]:
        """Put the stack's failed resources among `resources`. Returns their logical ids."""
        added = []
        for key in [key for key in self._records if key[0] == stack_id]:
            record = self._records.pop(key)
            if key[1] not in resources:
                resources[key[1]] = record
                added.append(key[1])
        return added


def install(exchange: Exchange) -> None:
    """Change ministack's CloudFormation in this process."""
    failed_creates = FailedCreates()
    replace(
        custom_resource, "invoke_custom_resource", lambda _: _requester(exchange, failed_creates)
    )
    for module in (stacks, handlers):
        replace(module, "_add_event", lambda add: _event_adder(add, failed_creates))
        replace(module, "_roll_back_operation", lambda run: _roller_back(run, failed_creates))
        replace(module, "_delete_stack_async", lambda run: _deleter(run, failed_creates))
    actions = internal(handlers, "_ACTION_HANDLERS")
    actions["DescribeStackResources"] = _describer(actions["DescribeStackResources"])


def _requester(exchange: Exchange, failed_creates: FailedCreates) -> Any:
    find_function = internal(lambda_svc, "_get_func_record_for_ref")
    with_config = internal(lambda_svc, "_execution_record_for_config")
    as_strings = internal(custom_resource, "_normalise_resource_properties")

    def request_resource(  # noqa: PLR0917 - the signature is ministack's
        request_type: str,
        logical_id: str,
        props: dict[str, Any],
        stack_name: str,
        stack_id: str,
        resource_type: str,
        physical_id: str | None = None,
        old_props: dict[str, Any] | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """Send one request and wait for its reply: the physical id and `Data`."""
        token = props.get("ServiceToken", "")
        function, config, _ = find_function(token)
        if function is None or config is None:
            raise CustomResourceFailed(f"The function of the ServiceToken {token} does not exist.")
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
        if physical_id is not None:
            request["PhysicalResourceId"] = physical_id
        if old_props is not None:
            request["OldResourceProperties"] = as_strings(old_props)
        exchange.sent(request)
        lambda_svc.invoke_async_with_retry(with_config(function, config), request)
        body = exchange.wait(request["ResponseURL"], _service_timeout(props))
        try:
            reply = _read(body, request)
        except CustomResourceFailed as failure:
            if request_type == "Create":
                made_up = _physical_id(stack_name, logical_id)
                failed_creates.add(request, failure.physical_id or made_up, props)
            raise
        return reply.physical_id, reply.data

    return request_resource


def _read(body: bytes | None, request: dict[str, Any]) -> Accepted:
    if body is None:
        raise no_reply(request)
    return read_reply(body, request)


def _service_timeout(props: dict[str, Any]) -> int:
    try:
        return int(props.get("ServiceTimeout", _SERVICE_TIMEOUT))
    except (TypeError, ValueError):
        return _SERVICE_TIMEOUT


def _physical_id(stack_name: str, logical_id: str) -> str:
    """The id CloudFormation gives a resource that gave itself none: `stack-LogicalId-RANDOM`."""
    letters = string.ascii_uppercase + string.digits
    return f"{stack_name}-{logical_id}-{''.join(secrets.choice(letters) for _ in range(12))}"


def _event_adder(add_event: Any, failed_creates: FailedCreates) -> Any:
    def add(  # noqa: PLR0917 - the signature is ministack's
        stack_id: str,
        stack_name: str,
        logical_id: str,
        resource_type: str,
        status: str,
        reason: str = "",
        physical_id: str = "",
        detailed_status: str = "",
    ) -> None:
        if status == "CREATE_FAILED" and not physical_id:
            physical_id = failed_creates.physical_id(stack_id, logical_id)
        add_event(
            stack_id,
            stack_name,
            logical_id,
            resource_type,
            status,
            reason[:REASON_SHOWN],
            physical_id,
            detailed_status,
        )

    return add


def _roller_back(roll_back: Any, failed_creates: FailedCreates) -> Any:
    async def roll_back_all(
        stack_name: str,
        stack_id: str,
        stack: dict[str, Any],
        operation: dict[str, Any],
        reason_override: str = "",
    ) -> None:
        resources = stack.setdefault("_resources", {})
        added = failed_creates.hand_over(stack_id, resources)
        operation["created"] = [*operation.get("created", ()), *added]
        before = dict(resources)
        await roll_back(stack_name, stack_id, stack, operation, reason_override)
        stack[_ROLLED_BACK] = {
            logical_id: {**record, "ResourceStatus": "DELETE_COMPLETE"}
            for logical_id, record in before.items()
        }

    return roll_back_all


def _describer(describe: Any) -> Any:
    resolve = internal(handlers, "_resolve_stack")

    def describe_all(params: dict[str, Any]) -> Any:
        stack = resolve((params.get("StackName") or [""])[0])
        if not stack or stack.get("StackStatus") != "ROLLBACK_COMPLETE":
            return describe(params)
        resources = stack.get("_resources", {})
        stack["_resources"] = {**stack.get(_ROLLED_BACK, {}), **resources}
        try:
            return describe(params)
        finally:
            stack["_resources"] = resources

    return describe_all


def _deleter(delete_stack: Any, failed_creates: FailedCreates) -> Any:
    async def delete_all(
        stack_name: str, stack_id: str, retain_resources: Any = (), force: bool = False
    ) -> None:
        stack = internal(cloudformation, "_stacks").get(stack_name)
        if stack is not None:
            failed_creates.hand_over(stack_id, stack.setdefault("_resources", {}))
        await delete_stack(stack_name, stack_id, retain_resources, force)

    return delete_all
