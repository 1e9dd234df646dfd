"""The verdict of a success as an event of the stack.

CloudFormation shows no reason of a success. What it does show is a signal to a wait condition that
is being created: `Received SUCCESS signal with UniqueId 5 of 5 removed`. See docs/adr/0018.
"""

import logging

from botocore.client import BaseClient

from hyperpod_node_removal_handler import aws, timing
from hyperpod_node_removal_handler.reply import safe_text
from hyperpod_node_removal_handler.stack import StackNotUpdatingError, StackWatch

_log = logging.getLogger(__name__)


def signal(
    client: BaseClient,
    stack_id: str,
    condition: str,
    verdict: str,
    *,
    stack: StackWatch,
    clock: timing.Clock,
    until: float,
) -> None:
    """Signal a wait condition once it is in progress, which it is soon after the reply.

    Before each attempt the stack is looked at: a later deployment of the same set has a condition
    of the same name. Never raises: the reply has been sent.

    Args:
        client: of CloudFormation.
        stack_id: of the stack.
        condition: logical id of the wait condition.
        verdict: the `UniqueId`, of 1 to 64 characters.
        stack: the same stack, for the operation that the reply belongs to.
        clock: tells the time.
        until: when the last attempt is made, in seconds of the clock.
    """
    denied_until = min(until, clock.now() + timing.PROPAGATION)
    backoff = timing.pauses(*timing.SIGNAL_PAUSES)
    try:
        while True:
            stack.require_forward()
            try:
                with aws.map_errors("SignalResource"):
                    client.signal_resource(
                        StackName=stack_id,
                        LogicalResourceId=condition,
                        UniqueId=verdict,
                        Status="SUCCESS",
                    )
            except aws.AwsError as error:
                # A condition that is not in progress yet is refused like one that does not exist.
                is_denied = isinstance(error, aws.AccessDeniedError)
                if clock.now() >= (denied_until if is_denied else until):
                    raise
            else:
                _log.info("Signaled %s: %s", condition, verdict)
                return
            stack.sleep(min(next(backoff), until - clock.now()))
    except StackNotUpdatingError as error:
        _log.info("%s was not signaled, or its answer was lost: %s", condition, error)
    except Exception as error:  # noqa: BLE001
        _log.error(
            "%s was not signaled: %s. Unless an earlier attempt arrived, the condition times out"
            " and the stack fails although the removal succeeded. With rollback disabled, change"
            " RetryToken and deploy again.",
            condition,
            safe_text(error),
        )
