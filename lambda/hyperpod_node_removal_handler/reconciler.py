"""The reconcile loop of one removal: observe, decide, act, wait.

Only the reconciler changes the state of a removal. `_request_removals` looks at the stack before
each request, `_observe` checks the guards until a request may have been carried out, and every wait
is a `StackWatch.sleep`.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from hyperpod_node_removal_contract import (
    BEFORE_REMOVAL_MAX,
    FailureCode,
    MissingNodes,
    escape,
    truncate_middle,
)
from hyperpod_node_removal_handler import aws, outcome, timing
from hyperpod_node_removal_handler.before_removal import Decision, Hook, HookError
from hyperpod_node_removal_handler.cluster import (
    Cluster,
    ClusterDescription,
    Node,
    Page,
    Refusal,
)
from hyperpod_node_removal_handler.cluster_watch import ClusterWatch
from hyperpod_node_removal_handler.decide import (
    Schedule,
    Step,
    ask_again_at,
    decide,
    needs_listing,
    wake_at,
)
from hyperpod_node_removal_handler.handover import Continuation
from hyperpod_node_removal_handler.invocation import Invocation
from hyperpod_node_removal_handler.outcome import Result
from hyperpod_node_removal_handler.plan import Plan, make_plan
from hyperpod_node_removal_handler.removal import DeleteRequest, Removal
from hyperpod_node_removal_handler.reply import RepliedError
from hyperpod_node_removal_handler.request import Guards
from hyperpod_node_removal_handler.requested_node import LOOKS, Phase
from hyperpod_node_removal_handler.stack import StackNotUpdatingError, StackWatch

_log = logging.getLogger(__name__)


class RefusedError(Exception):
    """The plan must not be carried out: a guard is violated, or the hook does not approve."""

    def __init__(self, *phrases: str, code: FailureCode = FailureCode.GUARDED) -> None:
        super().__init__("; ".join(phrases))
        self.phrases = phrases
        # Stored and logged for each node; `phrases` are for the verdict.
        self.refusal = Refusal(code, truncate_middle(escape(str(self)), aws.MESSAGE_MAX))


class Reconciler:
    """Drives one removal against a cluster.

    `removal` is its state, which any thread may read. `stack` is looked at before every request.
    """

    def __init__(self, invocation: Invocation, work: Continuation) -> None:
        """Begin a removal, or continue the work that an earlier invocation left."""
        request = self._request = work.request
        clock = self._clock = invocation.clock
        deadlines = self._deadlines = invocation.deadlines(
            work.started, request.service_timeout, request.retry_for
        )
        self._responder = invocation.responder
        self._log_place = invocation.log
        self._cluster = Cluster(request.cluster, aws.client("sagemaker"))
        self.stack = StackWatch(invocation.envelope, clock, deadlines, work.operation)
        self._watch = ClusterWatch(self._cluster, self.stack, clock, deadlines)
        self._hook: Hook | None = None
        if request.before_removal:
            self._hook = Hook(request.before_removal, invocation.envelope, clock)
        self._began = clock.now()
        self._description: ClusterDescription | None = None
        self._may_be_busy = False
        self._is_listed_again = False
        self._final: ClusterDescription | None = None
        """The cluster after the last node had left."""
        self._warned: set[str] = set()
        self._logged: dict[str, int] = {}
        self._logged_at = self._began
        self._guards = request.guards
        if request.changes_settings_only:
            self._guards = replace(self._guards, missing_nodes=MissingNodes.ACCEPT)
        self._work = work
        self.removal = replace(work.removal, is_guarded=self._guards != Guards())
        self._approved_at = work.approved_at
        self._target_counts_before = work.target_counts_before
        self._schedule = Schedule(
            deadlines, request, retry_until=deadlines.deadline, reached_at=work.reached_at
        )

    @property
    def continuation(self) -> Continuation:
        """The state for the next invocation."""
        return replace(
            self._work,
            removal=self.removal,
            invocation=self._work.invocation + 1,
            operation=self.stack.operation,
            approved_at=self._approved_at,
            reached_at=self._schedule.reached_at,
            target_counts_before=self._target_counts_before,
        )

    def run(self) -> Result | None:
        """Run until there is a result. Returns None if the next invocation must continue.

        Raises:
            StackNotUpdatingError: the operation ended before anything was requested.
            RepliedError: CloudFormation was answered during a call.
        """
        try:
            result = self._run_forward()
        except RepliedError:
            self._release(self.removal)
            raise
        except StackNotUpdatingError as error:
            self._release(self.removal)  # First: the rollback may delete the hook.
            if not self.removal.was_requested:
                raise
            with suppress(aws.AwsError):  # What was requested may be leaving, or gone.
                for _ in range(LOOKS):
                    self.removal = self.removal.observe(self._cluster.nodes())
            return self._result(f"{error} No more nodes were requested.")
        if result:
            self._release(result.removal)
        return result

    def end(self, why: str) -> Result:
        """End a removal that `run` did not finish and no invocation can continue."""
        result = self.result_so_far(why)
        self._release(result.removal)
        return result

    def _run_forward(self) -> Result | None:
        result = self._run()
        if result and self.stack.operation is None:
            # No failure is reported before it is certain that it does not fail a rollback.
            self._look_forward()
        return result

    def _run(self) -> Result | None:
        try:
            return self._reconcile()
        except timing.HandOverDue:
            return None
        except RefusedError as error:
            self.removal = self.removal.refuse(error.refusal)
            return replace(self._result(), objections=error.phrases)
        except aws.AwsError as error:
            is_due = self._clock.now() >= self._deadlines.hand_over_at
            if isinstance(error, aws.TransientError) and is_due:
                return None
            return self._interrupted(error)

    # The loop --------------------------------------------------------------------------------

    def _reconcile(self) -> Result | None:
        if self.stack.operation is None:
            self.stack.begin()
        self._description = self._describe()
        if self._approved_at is None:
            plan = self._plan(self._description)
            if self._request.is_dry_run:
                return self._result()
            self._approved_at = self._approve(plan, self._description)
        else:
            controllers = self._description.controller_groups
            self.removal = replace(self.removal, controller_groups=controllers)
            self._observe()
        retry_until = self._approved_at + self._request.retry_for
        self._schedule.retry_until = min(self._deadlines.deadline, retry_until)
        while not self._responder.has_replied:
            now = self._clock.now()
            has_reached = self.removal.has_reached(self._request.wait_for)
            if has_reached and self._schedule.reached_at is None:
                self._schedule.reached_at = now
            step = decide(self.removal, self._schedule, now, listed_at=self._watch.listed_at)
            if step is Step.HAND_OVER:
                return None
            if step in {Step.FINISH, Step.EXPIRE}:
                why = f"time ran out after {round(now - self._deadlines.started)} s"
                self.removal = self.removal.stop(why, self._request.wait_for)
                self._log_progress()
                return self._result()
            self._act(step)
        raise RepliedError

    def _act(self, step: Step) -> None:
        match step:
            case Step.OBSERVE:
                self._observe()
            case Step.REQUEST:
                self._request_removals()
            case Step.GIVE_UP:
                self.removal = self.removal.give_up()
                self._schedule.was_last_request = False
            case Step.WAIT:
                self._log_progress()
                now = self._clock.now()
                pause = self._watch.pause(now - (self._approved_at or now))
                self.stack.sleep(wake_at(self.removal, self._schedule, now, pause=pause) - now)
                self._observe()
            case Step.AWAIT_CLUSTER:
                self._await_cluster()

    # Observe ---------------------------------------------------------------------------------

    def _describe(self) -> ClusterDescription:
        description = self._watch.describe()
        self._may_be_busy = description.is_in_transition
        return description

    def _observe(self) -> None:
        """Look at the nodes, and check the guards until a request may have been carried out."""
        if self.removal.has_begun or not self.removal.is_guarded or self._description is None:
            is_due = self._is_request_due()
            self.removal = self._watch.look(self.removal, is_due=is_due)
            if not is_due and self._is_request_due():  # Waiting nodes were not looked at.
                self.removal = self._watch.look(self.removal)
            return
        # A node that was present and is gone now is no typing error.
        self._checked(
            self._new_plan(self._description),
            replace(self._guards, missing_nodes=MissingNodes.ACCEPT),
        )

    def _is_request_due(self) -> bool:
        is_time = self._clock.now() >= self._schedule.next_request_at
        return is_time and bool(self.removal.by_phase[Phase.WAITING])

    def _await_cluster(self) -> None:
        """Wait for a cluster in transition: the stack's next resource may change it."""
        self._final = self._describe()
        self._schedule.is_cluster_settled = not self._final.is_in_transition
        if not self._schedule.is_cluster_settled:
            self.stack.sleep(min(timing.CLUSTER_POLL, self._deadlines.end - self._clock.now()))

    # Plan, guards, hook ----------------------------------------------------------------------

    def _plan(self, description: ClusterDescription) -> Plan:
        self._target_counts_before = description.target_counts
        plan = self._new_plan(description)
        for text, fields in plan.lines():
            _log.info("%s", text, extra=dict(fields))
        self._warn()
        guards = self._guards
        if self.removal.is_seen_under_way or self.removal.is_asked:
            # Another copy of the request, or an earlier invocation, may have seen the node that is
            # missing: it is no typing error.
            guards = replace(guards, missing_nodes=MissingNodes.ACCEPT)
        plan = self._checked(plan, guards)
        if self._hook and self._request.is_dry_run:
            _log.info("Dry run: %s is not invoked.", self._hook.function)
        return plan

    def _new_plan(self, description: ClusterDescription) -> Plan:
        plan = make_plan(self.removal, description, self._watch.list_nodes)
        self.removal = plan.removal
        return plan

    def _checked(self, plan: Plan, guards: Guards) -> Plan:
        """Return a plan that violates no guard. A violation has to be seen in two listings."""
        if self._description and plan.broken(guards):
            plan = self._new_plan(self._description)
        if phrases := plan.broken(guards):
            raise RefusedError(*phrases)
        return plan

    def _approve(self, plan: Plan, description: ClusterDescription) -> float:
        """Ask the hook, if there is one. Returns since when nodes may be requested."""
        if self._hook is None:
            return self._deadlines.started
        if not plan.to_remove:
            # Nodes that appear from now on have not been approved.
            self.removal = replace(self.removal, needs_approval=True)
            return self._deadlines.started
        self._require_forward()
        # These calls poll the stack themselves, so no timer polls it meanwhile.
        nodes = self._watch.with_hostnames(plan.to_remove, self._hook_deadline())
        try:
            while (again_at := self._ask_hook(self._hook, nodes, description)) is not None:
                # The hook is not invoked if this invocation may end before it answers.
                last = self._deadlines.hand_over_at - timing.LAST_QUESTION
                self.stack.sleep(min(again_at, last) - self._clock.now())
                self._require_forward()
        except RefusedError:
            self._look_forward()  # A veto must not fail a rollback.
            raise
        self._look_forward()
        approved_at = self._clock.now()
        self._observe()
        return approved_at

    def _hook_deadline(self) -> float:
        """Return when the hook must have answered."""
        now, hand_over_at = self._clock.now(), self._deadlines.hand_over_at
        wanted = min(now + BEFORE_REMOVAL_MAX, self._deadlines.deadline - timing.HOOK_RESERVE)
        least = (min(wanted, hand_over_at) - self._began) / 2
        if self.removal.is_asked:
            least = timing.LAST_QUESTION  # Its answer is due soon, even if it is "not yet".
        if hand_over_at - now <= least:
            # Too little of this invocation is left, and no other can wait for the same answer.
            raise timing.HandOverDue
        return min(wanted, hand_over_at)

    def _ask_hook(
        self, hook: Hook, nodes: Sequence[Node], description: ClusterDescription
    ) -> float | None:
        """Invoke the hook. Returns when to invoke it again, or None if it has decided.

        Raises:
            RefusedError: nothing may be removed.
        """
        deadline, denied_until = self._hook_deadline(), self._deadlines.denied_until
        try:
            with self.stack.in_background():
                verdict = hook.ask(description, nodes, deadline=deadline, denied_until=denied_until)
                if verdict.takes_releases:
                    self.removal = self.removal.mark_asked(nodes)
        except HookError as error:
            phrase = f"the hook {hook.name} {error}"
            _log.error("%s", phrase)
            raise RefusedError(phrase, code=FailureCode.HOOK_FAILED) from error
        if verdict.waiting:
            again_at = ask_again_at(self._clock.now(), verdict.retry_after, self._deadlines)
            _log.info("%d of %d nodes are not ready.", len(verdict.waiting), len(nodes))
            if again_at is not None:
                return again_at
        self.removal = self.removal.apply_verdict(verdict.veto_of)
        if verdict.decision is Decision.VETO:
            reason = f': "{verdict.reason}"' if verdict.reason else ""
            raise RefusedError(
                f"the hook {hook.name} vetoed the removal{reason}", code=FailureCode.VETOED
            )
        return None

    def _release(self, removal: Removal) -> None:
        """Notify the hook of the nodes that stay. Errors are only logged."""
        if not removal.to_release or self._hook is None:
            return
        most, past = timing.RELEASE
        now = self._clock.now()
        until = min(now + most, self._deadlines.deadline + past)
        nodes = self._staying(removal.to_release, until=(now + until) / 2)
        if not nodes:
            return
        names = ", ".join(node.name for node in nodes)
        try:
            description = self._description or self._cluster.describe()
            self._hook.release(description, nodes, until=until)
        except aws.AwsError as error:
            _log.warning(
                "%s was not notified that nodes stay: %s (%s)", self._hook.name, names, error
            )
        else:
            _log.info("%s was notified that nodes stay: %s", self._hook.name, names)

    def _staying(self, nodes: Sequence[Node], *, until: float) -> Sequence[Node]:
        """Return those nodes that are listed and are not leaving; all, if there is no time to look.

        Another copy of the request may have removed some since they were last seen.
        """

        def attempt(page: Callable[[], Page]) -> Page:
            if self._clock.now() >= until:
                raise aws.AwsError("ListClusterNodes", "TooSlow", "there is no time for all pages")
            return page()

        shown: dict[str, Node] = {}
        try:
            for _ in range(LOOKS):
                shown |= {node.name: node for node in self._cluster.nodes(attempt).nodes}
                if all(node.name in shown for node in nodes):
                    break
        except aws.AwsError:
            return nodes
        staying = {name for name, node in shown.items() if not node.is_shutting_down}
        return [node for node in nodes if node.name in staying]

    # Act -------------------------------------------------------------------------------------

    def _require_forward(self) -> None:
        """Look at the stack. Raises unless it is going forward and has no reply yet."""
        self.stack.require_forward()
        if self._responder.has_replied:
            raise RepliedError

    def _look_forward(self) -> None:
        """Look at the stack if that is possible. Raises if it is not going forward."""
        with suppress(aws.AwsError):
            self.stack.require_forward()

    def _request_removals(self) -> None:
        """Request every waiting node once, unless the stack or the cluster forbids it."""
        if not self._may_be_busy or not self._is_busy():
            requests = deque(self.removal.requests())
            while requests:
                self._watch.await_turn()
                self._require_forward()
                now = self._clock.now()
                if now >= self._deadlines.end:
                    break
                if self._must_observe(now):
                    return  # The remaining requests follow after a listing.
                parts = self._send(requests.popleft())
                if parts is None:
                    break
                requests.extendleft(reversed(parts))
        self._schedule.requested(self._clock.now())

    def _must_observe(self, now: float) -> bool:
        """Return whether the look at the stack took so long that the guards must be checked again.

        They are checked again only once, even if every look is slow.
        """
        is_stale = needs_listing(self.removal, now, self._watch.listed_at)
        self._is_listed_again = is_stale and not self._is_listed_again
        return self._is_listed_again

    def _send(self, request: DeleteRequest) -> tuple[DeleteRequest, ...] | None:
        """Send one request, immediately after a look at the stack.

        Returns the parts of it that must be sent separately, or None if no more can be sent in this
        round.
        """
        before = replace(self.removal, was_requested=True)
        self.removal = before.send(request)
        try:
            reply = self._watch.granted(
                lambda: self._cluster.delete(request.node_ids, request.node_logical_ids)
            )
        except aws.RejectedError as error:
            self.removal = before
            if self._is_busy():
                return None
            if not before.is_explained(request):
                self.removal = before.defer(Refusal.of(error), request)
                return request.parts()
            self.removal = before.reject(request, Refusal.of(error))
        except aws.AwsError as error:
            self.removal = self._deferred(before, request, error)
            return None
        else:
            self.removal = before.answer(request, reply)
        return ()

    def _deferred(self, before: Removal, request: DeleteRequest, error: aws.AwsError) -> Removal:
        """Return the removal after a request that had no effect for now.

        Raises:
            aws.AwsError: retrying does not help.
        """
        deferral = Refusal.of(error)
        match error:
            case aws.ConflictError():
                self._may_be_busy = True
                return before.defer(replace(deferral, code=FailureCode.CLUSTER_BUSY))
            case aws.TransientError():
                # A throttled request had no effect. Otherwise the answer was lost, and the request
                # may have been carried out.
                is_lost = not isinstance(error, aws.ThrottledError)
                return before.attempt_failed(request, deferral, may_have_been_requested=is_lost)
            case aws.AccessDeniedError() if self._clock.now() < self._deadlines.denied_until:
                # The permission may be new and still be spreading.
                denied_until = self._deadlines.denied_until
                self._schedule.retry_until = max(self._schedule.retry_until, denied_until)
                return before.defer(deferral)
        self.removal = before
        raise error

    def _is_busy(self) -> bool:
        """Describe the cluster. Returns whether it is in transition, and refuses every request."""
        description = self._describe()
        if self._may_be_busy:
            message = f"the cluster is in status {description.status}"
            self.removal = self.removal.defer(Refusal(FailureCode.CLUSTER_BUSY, message))
        return self._may_be_busy

    # Report ----------------------------------------------------------------------------------

    def result_so_far(self, interruption: str) -> Result:
        """Return what is known at this moment, from any thread and without a call."""
        now, removal = self._clock.now(), self.removal
        warnings = self._warnings(removal)
        if interruption:
            removal = removal.stop("the removal ended early", self._request.wait_for)
        return Result(
            request=self._request,
            log=self._log_place,
            cluster_name=self._description.name if self._description else self._cluster.name,
            removal=removal,
            elapsed=now - self._deadlines.started,
            ended=now,
            interruption=interruption,
            target_counts_before=self._target_counts_before,
            warnings=warnings,
        )

    def _result(self, interruption: str = "") -> Result:
        self._warn()
        result = self.result_so_far(interruption)
        if self._description is None or self._clock.now() >= self._deadlines.deadline:
            return result  # The remaining time is for the reply.
        try:
            description = self._final if self._schedule.is_cluster_settled else None
            description = description or self._cluster.describe()
        except aws.AwsError:
            return result
        # The counts to write back into a template: those of the groups that lost nodes first.
        lowered = self.removal.lowered_by_group
        counts = description.target_counts
        groups = sorted(counts, key=lambda group: (group not in lowered, group))
        return replace(result, target_counts={group: counts[group] for group in groups})

    def _interrupted(self, error: aws.AwsError) -> Result:
        """Return the result of a removal that an AWS error has ended."""
        if isinstance(error, aws.ResourceNotFoundError) and error.operation != "DescribeStacks":
            was_there = self._description is not None or self._approved_at is not None
            if not was_there and not self._request.changes_settings_only:
                return self._result(outcome.not_found(self._cluster.name, error))
            if self._is_cluster_gone():
                _log.warning("The cluster and its nodes no longer exist.")
                self.removal = self.removal.cluster_deleted()
                return self._result()
        _log.error("%s", error)
        return self._result(outcome.interrupted(error, has_begun=self.removal.has_begun))

    def _is_cluster_gone(self) -> bool:
        """Return whether the cluster was not found, and not a resource that it depends on."""
        try:
            self._cluster.describe()
        except aws.AwsError as error:
            return isinstance(error, aws.ResourceNotFoundError)
        return False

    def _warnings(self, removal: Removal) -> tuple[str, ...]:
        sentences = [*outcome.left_alone(removal.nodes)]
        if self._description:
            sentences += outcome.warnings(removal.nodes, self._description)
        final, reached_at = self._final, self._schedule.reached_at
        if final and final.is_in_transition and reached_at is not None:
            seconds = round(self._clock.now() - reached_at)
            sentences.append(outcome.in_transition(final.status, seconds))
        return tuple(sentences)

    def _warn(self) -> None:
        for sentence in self._warnings(self.removal):
            if sentence not in self._warned:
                _log.warning("%s", sentence)
            self._warned.add(sentence)

    def _log_progress(self) -> None:
        """Log the progress if it has changed or the last line is old."""
        now = self._clock.now()
        nodes = self.removal.by_phase
        counts = {
            "removed": len(nodes[Phase.REMOVED]),
            "already_absent": len(nodes[Phase.ABSENT]),
            "leaving": len(nodes[Phase.LEAVING]) + len(nodes[Phase.UNSEEN]),
            "waiting": len(nodes[Phase.WAITING]),
            "failed": len(nodes[Phase.FAILED]),
        }
        if counts == self._logged and now < self._logged_at + timing.POLL_MAX:
            return
        self._logged, self._logged_at = counts, now
        fields = counts | {"elapsed_seconds": round(now - self._deadlines.started)}
        text = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in fields.items())
        _log.info("Round: %s", text, extra=fields)
