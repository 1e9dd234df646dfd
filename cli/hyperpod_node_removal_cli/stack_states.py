"""What the status of a stack means after a removal, and how to get out of it."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from hyperpod_node_removal_cli.report import StackReport
from hyperpod_node_removal_cli.stack_events import StackState


class _State(NamedTuple):
    meaning: str
    next_step: str = ""


_AGAIN: Final = "Deploy the same set again; nodes that are gone meanwhile count as done."

# The statuses of the CloudFormation user guide, "Stack status codes".
_STATES: Final[Mapping[str, _State]] = {
    "CREATE_COMPLETE": _State("the deployment succeeded."),
    "UPDATE_COMPLETE": _State("the deployment succeeded."),
    "IMPORT_COMPLETE": _State("resources were imported."),
    "DELETE_COMPLETE": _State("the stack is gone; the cluster was not touched by that."),
    "ROLLBACK_COMPLETE": _State(
        "its creation failed and was rolled back; removed nodes do not come back.",
        "Deploy again: cdk deploy replaces such a stack. With the AWS CLI, delete it first:"
        " aws cloudformation delete-stack --stack-name {name}",
    ),
    "UPDATE_ROLLBACK_COMPLETE": _State(
        "the update failed and was rolled back; removed nodes do not come back.",
        "It is as it was before, and the next deployment may begin.",
    ),
    "UPDATE_ROLLBACK_FAILED": _State(
        "the update failed, and so did its rollback: the stack is stuck.",
        "Mend what failed in the rollback, then: aws cloudformation continue-update-rollback"
        " --stack-name {name} (with --resources-to-skip LOGICAL_ID for what cannot be mended)",
    ),
    "ROLLBACK_FAILED": _State(
        "its creation failed, and so did its rollback.",
        "Delete it, keeping what cannot be deleted: aws cloudformation delete-stack"
        " --stack-name {name}",
    ),
    "CREATE_FAILED": _State(
        "its creation failed and was not rolled back.",
        f"{_AGAIN} Or roll back: aws cloudformation rollback-stack --stack-name {{name}}",
    ),
    "UPDATE_FAILED": _State(
        "the update failed and was not rolled back.",
        f"{_AGAIN} Or roll back: aws cloudformation rollback-stack --stack-name {{name}}",
    ),
    "DELETE_FAILED": _State(
        "it could not be deleted.",
        "Delete it again, keeping what cannot be deleted: aws cloudformation delete-stack"
        " --stack-name {name} --retain-resources LOGICAL_ID",
    ),
    "REVIEW_IN_PROGRESS": _State(
        "a change set waits to be carried out; nothing was deployed.", "Deploy, or delete it."
    ),
}


def stack_report(stack: StackState) -> StackReport:
    """The stack, with what to do about its status."""
    state = _STATES.get(stack.status)
    if state is None:
        is_moving = stack.status.endswith("_IN_PROGRESS")
        state = _State(
            "an operation is under way." if is_moving else "CloudFormation says no more.",
            "Follow it: hyperpod-node-removal watch {name}" if is_moving else "",
        )
    return StackReport(
        name=stack.name,
        stack_id=stack.stack_id,
        status=stack.status,
        meaning=state.meaning,
        next_step=state.next_step.format(name=stack.name),
    )
