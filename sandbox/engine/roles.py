"""The role that CloudFormation acts as on a stack, which ministack does not look at.

Filled in: a role that is not there, or that does not trust CloudFormation, fails an operation
before any resource is touched, and the reason is in the stack's own event alone (aws-samples
amazon-cognito-passwordless-auth #192).
"""

from typing import Any, Final

from ministack.services import cloudformation, iam
from ministack.services.cloudformation import handlers, stacks

from sandbox.engine.events import STACK
from sandbox.engine.internals import internal, replace

_PRINCIPAL: Final = "cloudformation.amazonaws.com"


def install() -> None:
    """Change ministack's CloudFormation in this process."""
    actions = internal(handlers, "_ACTION_HANDLERS")
    for name in ("CreateStack", "UpdateStack", "CreateChangeSet", "DeleteStack"):
        actions[name] = _remembering(actions[name])
    replace(handlers, "_delete_stack_async", _deleter)


def validate_role(stack: dict[str, Any]) -> str:
    """Why the stack's role can not be used; empty where it can, or where there is none."""
    arn = stack.get("RoleARN", "")
    role = internal(iam, "_roles").get(arn.rpartition("/")[2])
    if not arn or (role and _PRINCIPAL in str(role["AssumeRolePolicyDocument"])):
        return ""
    return f"Role {arn} is invalid or cannot be assumed"


def _remembering(act: Any) -> Any:
    def act_as(params: dict[str, Any]) -> Any:
        answer = act(params)
        stack = internal(handlers, "_resolve_stack")((params.get("StackName") or [""])[0])
        if stack and params.get("RoleARN"):
            stack["RoleARN"] = params["RoleARN"][0]
        return answer

    return act_as


def _deleter(delete: Any) -> Any:
    async def delete_as(stack_name: str, stack_id: str, *args: Any, **kwargs: Any) -> None:
        stack = internal(cloudformation, "_stacks").get(stack_name) or {}
        problem = validate_role(stack)
        if not problem:
            await delete(stack_name, stack_id, *args, **kwargs)
            return
        add = internal(stacks, "_add_event")
        for status, reason in (("DELETE_IN_PROGRESS", ""), ("DELETE_FAILED", problem)):
            stack["StackStatus"], stack["StackStatusReason"] = status, reason
            add(stack_id, stack_name, stack_name, STACK, status, reason, stack_id)

    return delete_as
