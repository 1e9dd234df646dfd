"""Stack events and operations as CloudFormation shows them.

Changed: OperationId of an event, and LastOperations of a stack, newest first: a rollback is an
operation of its own (API reference, OperationEntry; the guide's example of DescribeStacks);
ResourceProperties of a resource's event; `AWS::CloudFormation::CustomResource` as the type of
custom resources that a clean-up deletes; no LastUpdatedTime before the first update or change set;
a reason truncated at 1,024 characters, as practitioners report.
"""

import json
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final

from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, custom_resource, handlers, stacks

from sandbox.engine import replace

REASON_SHOWN: Final = 1024
STACK: Final = "AWS::CloudFormation::Stack"
CUSTOM: Final = "AWS::CloudFormation::CustomResource"
_OPERATIONS: Final = {
    "CREATE_IN_PROGRESS": "CREATE_STACK",
    "UPDATE_IN_PROGRESS": "UPDATE_STACK",
    "DELETE_IN_PROGRESS": "DELETE_STACK",
    "ROLLBACK_IN_PROGRESS": "ROLLBACK",
    "UPDATE_ROLLBACK_IN_PROGRESS": "ROLLBACK",
}
"""The operation that begins with a stack's event of this status."""
_EVENT_FIELDS: Final = ("OperationId", "ResourceProperties")
_EVENT_ID: Final = re.compile(r"<EventId>([^<]*)</EventId>")
_STACK_ID: Final = re.compile(r"<StackId>([^<]*)</StackId>")
_NEW: Final = ("CREATE_IN_PROGRESS", "REVIEW_IN_PROGRESS")
_NEVER: Final = "<LastUpdatedTime></LastUpdatedTime>"

Response = tuple[int, dict[str, str], bytes]
Handler = Callable[[dict[str, Any]], Response]


def is_custom(resource_type: str) -> bool:
    """Return whether a resource type is that of a custom resource."""
    return resource_type.startswith("Custom::") or resource_type == CUSTOM


def found_stack(params: dict[str, Any]) -> dict[str, Any]:
    """Return the stack that a request is about; empty if there is none."""
    return handlers._resolve_stack((params.get("StackName") or [""])[0]) or {}


def install(note: Callable[[dict[str, Any]], None]) -> None:
    """Change ministack's events in this process. `note` gets a stack after an event of its own."""
    for module in (stacks, handlers, changesets):
        replace(module, "_add_event", lambda add: _adder(add, note))
    actions = handlers._ACTION_HANDLERS
    actions["CreateStack"] = _creator(actions["CreateStack"])
    actions["CreateChangeSet"] = _creator(actions["CreateChangeSet"], "CREATE_CHANGESET")
    actions["DescribeStackEvents"] = _event_describer(actions["DescribeStackEvents"])
    for name in ("DescribeStacks", "ListStacks"):
        actions[name] = _stack_describer(actions[name])


def _adder(add_event: Any, note: Callable[[dict[str, Any]], None]) -> Any:
    events = cloudformation._stack_events
    as_strings = custom_resource._normalise_resource_properties

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
        stack = cloudformation._stacks.get(stack_name) or {}
        own = physical_id == stack_id
        if own and status in _OPERATIONS:
            _begin(stack, _operation(stack, status))
        if is_custom(resource_type) and "CLEANUP" in stack.get("StackStatus", ""):
            resource_type = CUSTOM
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
        event = events[stack_id][-1]
        if operations := stack.get("_operations"):
            event["OperationId"] = operations[0][1]
        if own:
            note(stack)
            return
        known = stack.get("_resources", {}).get(logical_id, {}).get("Properties")
        properties = stack.get("_properties", {}).get(logical_id, known)
        if properties is not None:
            event["ResourceProperties"] = json.dumps(as_strings(properties))

    return add


def _operation(stack: dict[str, Any], status: str) -> str:
    seen = stack.get("_seen", ())
    failed = bool(seen) and seen[-1][1]["StackStatus"] == "UPDATE_ROLLBACK_FAILED"
    return "CONTINUE_ROLLBACK" if failed and "ROLLBACK" in status else _OPERATIONS[status]


def _begin(stack: dict[str, Any], operation: str) -> None:
    stack["_operations"] = [(operation, str(uuid.uuid4())), *stack.get("_operations", ())]


def _creator(create: Handler, operation: str = "") -> Handler:
    """Begin an operation, and leave LastUpdatedTime out of a new stack."""

    def create_stack(params: dict[str, Any]) -> Response:
        response = create(params)
        if response[0] < 300:  # noqa: PLR2004
            stack = found_stack(params)
            if operation:
                _begin(stack, operation)
            if stack["StackStatus"] in _NEW:
                stack["LastUpdatedTime"] = ""
        return response

    return create_stack


def _event_describer(describe: Handler) -> Handler:
    escape = handlers._esc

    def describe_events(params: dict[str, Any]) -> Response:
        status, headers, body = describe(params)
        stack = found_stack(params)
        events = cloudformation._stack_events.get(stack.get("StackId"), ())
        extra = {
            event["EventId"]: "".join(
                f"<{name}>{escape(event[name])}</{name}>" for name in _EVENT_FIELDS if name in event
            )
            for event in events
        }
        return status, headers, _extended(_EVENT_ID, body, extra)

    return describe_events


def _stack_describer(describe: Handler) -> Handler:
    def describe_stacks(params: dict[str, Any]) -> Response:
        status, headers, body = describe(params)
        stacks_seen = cloudformation._stacks.values()
        extra = {stack["StackId"]: "".join(_last_operations(stack)) for stack in stacks_seen}
        return status, headers, _extended(_STACK_ID, body, extra).replace(_NEVER.encode(), b"")

    return describe_stacks


def _last_operations(stack: dict[str, Any]) -> Iterator[str]:
    yield "<LastOperations>"
    for kind, identity in stack.get("_operations", ()):
        yield f"<member><OperationType>{kind}</OperationType>"
        yield f"<OperationId>{identity}</OperationId></member>"
    yield "</LastOperations>"


def _extended(pattern: re.Pattern[str], body: bytes, extra: dict[str, str]) -> bytes:
    """Insert what ministack leaves out of a response after the id that it belongs to."""
    return pattern.sub(lambda found: found[0] + extra.get(found[1], ""), body.decode()).encode()
