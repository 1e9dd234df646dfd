"""Whether nodes may be asked for at all: the plan, its guards, and the hook."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hyperpod_node_removal_handler import plan_table
from hyperpod_node_removal_handler.asking import Asking, Progress
from hyperpod_node_removal_handler.aws import MESSAGE_MAX, AwsError
from hyperpod_node_removal_handler.cluster import ClusterDescription, Listing, Refusal
from hyperpod_node_removal_handler.contract import (
    BEFORE_REMOVAL_MAX,
    FailureCode,
    MissingNodes,
    printable,
)
from hyperpod_node_removal_handler.patience import PROPAGATION, Clock, PauseError, Span
from hyperpod_node_removal_handler.plan import Plan, make_plan
from hyperpod_node_removal_handler.request import RemovalRequest

if TYPE_CHECKING:
    from hyperpod_node_removal_handler.before_removal import Hook

_log = logging.getLogger(__name__)

_KEPT_FROM_HOOK: Final = 30.0
"""Seconds before the deadline that a hook does not get: its yes must not come too late to ask."""


class RefusedError(Exception):
    """The plan must not be carried out: a guard is broken, or the hook does not agree."""

    def __init__(self, *phrases: str, code: FailureCode = FailureCode.GUARDED) -> None:
        super().__init__("; ".join(phrases))
        self.phrases = phrases
        # Kept and logged for each node; `phrases` are for the verdict.
        self.refusal = Refusal(code, printable(str(self), MESSAGE_MAX))


class Clearance:
    """Plans one removal, and has the plan agreed to before anything is asked for."""

    def __init__(
        self,
        request: RemovalRequest,
        progress: Progress,
        *,
        hook: "Hook | None",
        asking: Asking,
        nodes: Callable[[], Listing],
        clock: Clock,
        span: Span,
    ) -> None:
        """`nodes` lists those of the cluster."""
        self._request = request
        self._progress = progress
        self._hook = hook
        self._asking = asking
        self._nodes = nodes
        self._clock = clock
        self._span = span
        self._began = clock.now()

    def plan(self, description: ClusterDescription) -> Plan:
        """Show what would happen to each node of the set."""
        plan = self._plan(description)
        for line in plan_table.log_lines(plan):
            _log.log(line.level, "%s", line.text, extra=dict(line.fields))
        return plan

    def hold(self, plan: Plan) -> None:
        """Hold the guards against a plan.

        Raises:
            RefusedError: one is broken.
        """
        if phrases := plan.broken(self._request.guards):
            raise RefusedError(*phrases)
        if self._hook and self._request.is_dry_run:
            _log.info("A dry run: %s is not asked.", self._hook.function)

    def of_hook(self, plan: Plan, description: ClusterDescription) -> float:
        """Ask the hook, if there is one, about a plan. Returns since when nodes may be asked for.

        Raises:
            RefusedError: it does not agree, or a guard is broken now.
            PauseError: the next invocation has more time for it.
            StackIsGoingBackError: the stack no longer wants nodes to be removed.
            aws.AwsError: the cluster or the stack could not be looked at.
        """
        hook = self._hook
        if hook is None:
            return self._span.started
        if not plan.to_remove:
            self._progress.removal = replace(self._progress.removal, needs_clearance=True)
            return self._span.started
        self._asking.look_at_stack()
        refused: RefusedError | None = None
        try:
            deadline = self._deadline()
            with self._asking.watching_stack():
                self._ask(hook, plan, description, deadline)
        except RefusedError as error:
            refused = error
        # It may turn out to be a request of the rollback, which must not fail for a veto.
        with suppress(AwsError):
            self._asking.look_at_stack()
        if refused:
            raise refused
        return self._clock.now()

    def hold_again(self, description: ClusterDescription) -> None:
        """Look at the cluster once more, as long as nothing has been asked for.

        Raises:
            RefusedError: a guard is broken now.
            aws.AwsError: the cluster could not be looked at.
        """
        # What was there before and is gone now is no typing error.
        guards = replace(self._request.guards, missing_nodes=MissingNodes.ACCEPT)
        if phrases := self._plan(description).broken(guards):
            raise RefusedError(*phrases)

    def _plan(self, description: ClusterDescription) -> Plan:
        self._progress.removal, plan = make_plan(self._progress.removal, description, self._nodes)
        return plan

    def _deadline(self) -> float:
        """When the hook must have answered."""
        now, pause_at = self._clock.now(), self._span.pause_at
        wanted = min(now + BEFORE_REMOVAL_MAX, self._span.deadline - _KEPT_FROM_HOOK)
        if pause_at - now < (min(wanted, pause_at) - self._began) / 2:
            # Much of this invocation is over already, and one alone waits for the hook.
            raise PauseError
        return min(wanted, pause_at)

    def _ask(
        self, hook: "Hook", plan: Plan, description: ClusterDescription, deadline: float
    ) -> None:
        # Loaded already: the hook is one of it.
        from hyperpod_node_removal_handler.before_removal import (  # noqa: PLC0415
            Decision,
            HookError,
        )

        denied_until = self._span.started + PROPAGATION
        try:
            verdict = hook.ask(
                description, plan.to_remove, deadline=deadline, denied_until=denied_until
            )
        except HookError as error:
            phrase = f"the hook {hook.name} {error}"
            raise RefusedError(phrase, code=FailureCode.HOOK_FAILED) from error
        self._progress.removal = self._progress.removal.ruled(verdict.veto_of)
        if verdict.decision is Decision.VETO:
            reason = f': "{verdict.reason}"' if verdict.reason else ""
            raise RefusedError(
                f"the hook {hook.name} vetoed the removal{reason}", code=FailureCode.VETOED
            )
