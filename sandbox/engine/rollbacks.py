"""What is told of a stack after a failure, and what may be done with it then.

Filled in: DescribeStackResources still knows the resources of a create that was rolled back (the
CDK CLI finds the function's log by it); events of a rollback have the properties that are gone back
to; a stack that failed with rollback disabled may be updated, with the same template, too (user
guide, stack failure options).
"""

from typing import Any, Final

from ministack.services.cloudformation import handlers, stacks

from sandbox.engine.internals import internal, replace

_ROLLED_BACK: Final = "_rolled_back"
"""Where a stack's record keeps what a rollback deleted."""
_RETRIED: Final = "_retried"


def install() -> None:
    """Change ministack's CloudFormation in this process."""
    for module in (stacks, handlers):
        replace(module, "_roll_back_operation", _roller_back)
    replace(stacks, "_revert_update", _reverter)
    replace(handlers, "_stack_has_no_updates", _comparer)
    actions = internal(handlers, "_ACTION_HANDLERS")
    actions["DescribeStackResources"] = _describer(actions["DescribeStackResources"])
    actions["UpdateStack"] = _updater(actions["UpdateStack"])


def _roller_back(roll_back: Any) -> Any:
    async def roll_back_known(
        stack_name: str, stack_id: str, stack: dict[str, Any], *args: Any, **kwargs: Any
    ) -> None:
        before = dict(stack.get("_resources", {}))
        await roll_back(stack_name, stack_id, stack, *args, **kwargs)
        stack[_ROLLED_BACK] = {
            logical_id: {**record, "ResourceStatus": "DELETE_COMPLETE"}
            for logical_id, record in before.items()
        }

    return roll_back_known


def _reverter(revert: Any) -> Any:
    find = internal(handlers, "_resolve_stack")

    async def revert_known(stack_id: str, stack_name: str, logical_id: str, *args: Any) -> None:
        _, _, _, previous, *_ = args
        find(stack_id).setdefault("_properties", {})[logical_id] = previous
        await revert(stack_id, stack_name, logical_id, *args)

    return revert_known


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


def _updater(update: Any) -> Any:
    """Let a failed stack pass for one at rest, which is what ministack updates."""
    resolve = internal(handlers, "_resolve_stack")

    def update_failed(params: dict[str, Any]) -> Any:
        stack = resolve((params.get("StackName") or [""])[0]) or {}
        status = stack.get("StackStatus")
        if status not in {"CREATE_FAILED", "UPDATE_FAILED"}:
            return update(params)
        stack["StackStatus"], stack[_RETRIED] = "UPDATE_COMPLETE", True
        answer = update(params)
        if stack["StackStatus"] == "UPDATE_COMPLETE":
            stack["StackStatus"] = status
        stack.pop(_RETRIED)
        return answer

    return update_failed


def _comparer(compare: Any) -> Any:
    def has_no_updates(stack: dict[str, Any], *args: Any, **kwargs: Any) -> bool:
        return not stack.get(_RETRIED) and bool(compare(stack, *args, **kwargs))

    return has_no_updates
