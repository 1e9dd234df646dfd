"""Operations on stacks, where ministack differs: their state after a failure.

Changed: DescribeStackResources still returns the resources of a create that was rolled back (the
CDK CLI finds the function's log with it). Events of a rollback have the properties that are
restored. A stack that failed with rollback disabled may be updated, even with the same template
(user guide, stack failure options).
"""

from typing import Any, Final

from ministack.services.cloudformation import handlers, stacks

from sandbox.engine import replace
from sandbox.engine.events import found_stack

# Keys that the sandbox adds to ministack's record of a stack
_ROLLED_BACK: Final = "_rolled_back"
_RETRIED: Final = "_retried"


def install() -> None:
    """Change ministack's CloudFormation in this process."""
    actions = handlers._ACTION_HANDLERS
    for module in (stacks, handlers):
        replace(module, "_roll_back_operation", _roll_back_and_remember)
    replace(stacks, "_revert_update", _revert_with_properties)
    replace(handlers, "_stack_has_no_updates", _has_no_updates)
    actions["DescribeStackResources"] = _describe_rolled_back(actions["DescribeStackResources"])
    actions["UpdateStack"] = _update_failed(actions["UpdateStack"])


def _roll_back_and_remember(roll_back: Any) -> Any:
    async def roll_back_and_remember(
        stack_name: str, stack_id: str, stack: dict[str, Any], *args: Any, **kwargs: Any
    ) -> None:
        before = dict(stack.get("_resources", {}))
        await roll_back(stack_name, stack_id, stack, *args, **kwargs)
        stack[_ROLLED_BACK] = {
            logical_id: {**record, "ResourceStatus": "DELETE_COMPLETE"}
            for logical_id, record in before.items()
        }

    return roll_back_and_remember


def _revert_with_properties(revert: Any) -> Any:
    async def revert_with_properties(
        stack_id: str, stack_name: str, logical_id: str, *args: Any
    ) -> None:
        _, _, _, previous, *_ = args
        stack = handlers._resolve_stack(stack_id)
        stack.setdefault("_properties", {})[logical_id] = previous
        await revert(stack_id, stack_name, logical_id, *args)

    return revert_with_properties


def _describe_rolled_back(describe: Any) -> Any:
    def describe_rolled_back(params: dict[str, Any]) -> Any:
        stack = found_stack(params)
        if stack.get("StackStatus") != "ROLLBACK_COMPLETE":
            return describe(params)
        resources = stack.get("_resources", {})
        stack["_resources"] = {**stack.get(_ROLLED_BACK, {}), **resources}
        try:
            return describe(params)
        finally:
            stack["_resources"] = resources

    return describe_rolled_back


def _update_failed(update: Any) -> Any:
    """Show ministack a failed stack as a complete one, since it updates no others."""

    def update_failed(params: dict[str, Any]) -> Any:
        stack = found_stack(params)
        status = stack.get("StackStatus")
        if status not in {"CREATE_FAILED", "UPDATE_FAILED"}:
            return update(params)
        stack["StackStatus"], stack[_RETRIED] = "UPDATE_COMPLETE", True
        response = update(params)
        if stack["StackStatus"] == "UPDATE_COMPLETE":
            stack["StackStatus"] = status
        stack.pop(_RETRIED)
        return response

    return update_failed


def _has_no_updates(compare: Any) -> Any:
    def has_no_updates(stack: dict[str, Any], *args: Any, **kwargs: Any) -> bool:
        return not stack.get(_RETRIED) and bool(compare(stack, *args, **kwargs))

    return has_no_updates
