"""A create or an update of a stack: its resources side by side, where ministack does one by one.

Filled in: a resource is begun as soon as what it depends on is complete. When one fails, those in
progress are cancelled at once, and the stack turns back while their functions may still run
(cloudformation-coverage-roadmap #1730, #1814; aws-cdk PR #36951). A resource whose Create was sent
is owed a Delete, with the id of its reply or one that is made up. A resource that does not change
has no events, one that an update adds is created, and a created one has an event with its id before
it is complete or failed. What an update replaces or removes is deleted in
UPDATE_COMPLETE_CLEANUP_IN_PROGRESS. A failure of the stack's own is the reason of its own event
only. An export may not be empty; nothing is replaced with rollback disabled (aws-sam-cli #4164).
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from ministack.core.concurrency import run_reentrant
from ministack.core.responses import now_iso
from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, handlers, provisioners, stacks

from sandbox.engine.custom_resources import OPERATION, made_up_id, replied_id
from sandbox.engine.evaluation import (
    LAST_SUCCESS,
    RETAINING,
    Evaluation,
    Record,
    topological_order,
)
from sandbox.engine.events import STACK, is_custom
from sandbox.engine.exchange import Exchange, Operation
from sandbox.engine.internals import internal, replace
from sandbox.engine.replies import CustomResourceFailed
from sandbox.engine.roles import role_problem
from sandbox.engine.settings import Settings

_INITIATED: Final = "Resource creation Initiated"
_REPLACING: Final = (
    "Requested update requires the creation of a new physical resource; hence creating one."
)
_REPLACED: Final = "Requested update required the provider to create a new physical resource"
_NO_REPLACEMENT: Final = "Replacement type updates not supported on stack with disable-rollback."
_LEFTOVERS: Final = "Update successful. One or more resources could not be deleted."


def install(exchange: Exchange, settings: Settings) -> None:
    """Change ministack's deployments in this process."""
    running: dict[str, Deployment] = {}

    async def deploy(  # noqa: PLR0917 - the signature is ministack's
        stack_name: str,
        stack_id: str,
        template: dict[str, Any],
        param_values: dict[str, Any],
        disable_rollback: bool,
        tags: list[Any],  # noqa: ARG001 - they are in the stack
        is_update: bool = False,
        previous_stack: dict[str, Any] | None = None,
        retain_except_on_create: bool = False,
        imports: dict[str, Any] | None = None,  # noqa: ARG001 - nothing is imported here
    ) -> None:
        deployment = running[stack_id] = Deployment(
            exchange,
            settings,
            internal(cloudformation, "_stacks")[stack_name],
            template=template,
            parameters=param_values,
            previous=previous_stack or {} if is_update else None,
            rollback=not disable_rollback,
            retain_except_on_create=retain_except_on_create,
        )
        try:
            await deployment.run()
        finally:
            del running[stack_id]

    for module in (changesets, handlers):
        replace(module, "_deploy_stack_async", lambda _: deploy)
    actions = internal(handlers, "_ACTION_HANDLERS")
    cancel = actions["CancelUpdateStack"]

    def cancel_update(params: dict[str, Any]) -> Any:
        answer = cancel(params)
        stack = internal(handlers, "_resolve_stack")(params["StackName"][0])
        if stack and (deployment := running.get(stack["StackId"])):
            deployment.cancel()
        return answer

    actions["CancelUpdateStack"] = cancel_update


class Deployment:
    """One create or update of one stack.

    Args:
        previous: the stack before the update; None for a create.
    """

    def __init__(
        self,
        exchange: Exchange,
        settings: Settings,
        stack: dict[str, Any],
        *,
        template: dict[str, Any],
        parameters: dict[str, Any],
        previous: dict[str, Any] | None,
        rollback: bool,
        retain_except_on_create: bool,
    ) -> None:
        self._exchange = exchange
        self._stack = stack
        self._name, self._id = stack["StackName"], stack["StackId"]
        self._template = template
        self._parameters = parameters
        self._previous = previous
        self._rollback = rollback
        self._retain_except_on_create = retain_except_on_create
        self._definitions: dict[str, Any] = template.get("Resources", {})
        self._resources: dict[str, Record] = stack.setdefault("_resources", {})
        self._evaluation = Evaluation(stack, template, parameters, previous or {}, settings)
        self._old: dict[str, Record] = (previous or {}).get("_resources", {})
        self._operation = Operation()
        self._cancelled = False
        self._changed: list[str] = []
        self._failed: dict[str, list[str]] = {}
        self._untouched: tuple[Any, ...] | None = None
        self._replaced: list[tuple[str, Record, Sequence[Any]]] = []

    async def run(self) -> None:
        """Bring the stack to its end, whichever that is."""
        self._stack.pop("_failed_operation", None)
        self._stack["_properties"] = {}
        prefix = "CREATE" if self._previous is None else "UPDATE"
        if problem := role_problem(self._stack):
            await self._fail(prefix, problem)
            return
        try:
            order = self._evaluation.order()
        except ValueError as problem:
            await self._fail(prefix, str(problem))
            return
        if self._is_invalid(order):
            return
        tasks: dict[str, asyncio.Task[None]] = {}
        for logical_id in order:
            before = [tasks[name] for name in self._evaluation.needs(logical_id, set(tasks))]
            tasks[logical_id] = asyncio.create_task(self._provision_after(before, logical_id))
        await asyncio.gather(*tasks.values())
        self._stack["_properties"] = {}
        if self._failed or self._cancelled:
            await self._fail(prefix)
            return
        removed = [name for name in self._old if name not in order]
        try:
            outputs, exports = self._evaluation.outputs(set(removed))
        except Exception as problem:  # noqa: BLE001 - whatever it is, it is the stack's reason
            await self._fail(prefix, str(problem))
            return
        await self._succeed(prefix, outputs, exports, removed)

    def cancel(self) -> None:
        """Turn the update back, as its user asks for."""
        self._cancelled = True
        self._exchange.cancel(self._operation)

    # Resources ------------------------------------------------------------------------------

    async def _provision_after(self, before: list[asyncio.Task[None]], logical_id: str) -> None:
        await asyncio.gather(*before)
        if self._operation.cancelled:
            return
        OPERATION.set(self._operation)
        definition = self._definitions[logical_id]
        kind = definition.get("Type", "AWS::CloudFormation::CustomResource")
        old = self._old.get(logical_id)
        creates = old is None or old.get("ResourceStatus") == "CREATE_FAILED"
        try:
            properties, dynamic = self._evaluation.properties(definition, old)
            self._stack["_properties"][logical_id] = properties
            if old is None or creates:
                made = await self._create(logical_id, kind, properties)
            elif not self._is_changed(logical_id, kind, old, properties):
                return
            else:
                made = await self._update(logical_id, kind, old, properties)
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is the resource's reason
            self._fail_resource(logical_id, kind, None if creates else old, failure)
            return
        status = "CREATE_COMPLETE" if creates else "UPDATE_COMPLETE"
        record = self._keep(logical_id, kind, status, properties, made)
        if dynamic:
            record["_dynamic"] = dynamic
        self._event(logical_id, kind, status, physical_id=made[0])

    async def _create(
        self, logical_id: str, kind: str, properties: Record
    ) -> tuple[str, Record, str]:
        self._event(logical_id, kind, "CREATE_IN_PROGRESS")
        (physical_id, attributes), seed = await _run(
            kind,
            internal(stacks, "_provision_keeping_seed"),
            kind,
            logical_id,
            self._evaluation.tagged(logical_id, kind, properties),
            self._name,
        )
        self._event(logical_id, kind, "CREATE_IN_PROGRESS", _INITIATED, physical_id)
        return physical_id, attributes, seed

    def _is_changed(self, logical_id: str, kind: str, old: Record, properties: Record) -> bool:
        before, after = self._evaluation.before_and_after(logical_id, kind, old, properties)
        return before != after or kind == STACK or old.get("ResourceStatus") == "UPDATE_FAILED"

    async def _update(
        self, logical_id: str, kind: str, old: Record, properties: Record
    ) -> tuple[str, Record, str]:
        physical_id, attributes = old["PhysicalResourceId"], old.get("Attributes", {})
        before, after = self._evaluation.before_and_after(logical_id, kind, old, properties)
        self._event(logical_id, kind, "UPDATE_IN_PROGRESS", physical_id=physical_id)
        if internal(stacks, "_replacing_change")(kind, before, after):
            self._refuse_replacement()
            self._event(logical_id, kind, "UPDATE_IN_PROGRESS", _REPLACING, physical_id)
        later: list[Any] = []
        # of this resource's task alone
        policy = self._evaluation.policy(logical_id, "UpdateReplacePolicy")
        internal(stacks, "_RETAIN_REPLACED").set(policy in RETAINING)
        internal(stacks, "_DEFERRED_PREDECESSOR_DELETES").set(later)
        internal(stacks, "_NAME_SEED").set(old.get("_name_seed", ""))
        if is_custom(kind):
            # also when it failed before and nothing has changed since
            change = internal(provisioners, "_custom_resource_update")
            made = await _run(
                kind, change, physical_id, before, after, self._name, logical_id, kind
            )
            seed = ""
        else:
            change = internal(stacks, "_update_keeping_seed")
            made, seed = await _run(
                kind, change, kind, physical_id, before, after, self._name, logical_id, attributes
            )
        new_id, new_attributes = made
        if new_id != physical_id or later:
            if is_custom(kind):
                self._refuse_replacement()
                self._event(logical_id, kind, "UPDATE_IN_PROGRESS", _REPLACED, new_id)
            self._replaced.append((logical_id, old, later))
        return new_id, new_attributes, seed

    def _refuse_replacement(self) -> None:
        if not self._rollback:
            raise CustomResourceFailed(_NO_REPLACEMENT)

    def _fail_resource(
        self, logical_id: str, kind: str, old: Record | None, failure: Exception
    ) -> None:
        properties = self._stack["_properties"].get(logical_id, {})
        if old is None:
            verb, physical_id = "create", replied_id(failure)
            if physical_id:
                self._event(logical_id, kind, "CREATE_IN_PROGRESS", _INITIATED, physical_id)
            if isinstance(failure, CustomResourceFailed):
                physical_id = physical_id or made_up_id(self._name, logical_id)
                self._keep(logical_id, kind, "CREATE_FAILED", properties, (physical_id, {}, ""))
        else:
            verb, physical_id = "update", old["PhysicalResourceId"]
            if internal(stacks, "_sends_back_failed_update")(kind):
                made = (physical_id, old.get("Attributes", {}), old.get("_name_seed", ""))
                record = self._keep(logical_id, kind, "UPDATE_FAILED", properties, made)
                record[LAST_SUCCESS] = old.get(LAST_SUCCESS, old["Properties"])
            else:
                self._untouched = (logical_id, kind, physical_id, None, None, None)
        self._event(logical_id, kind, f"{verb.upper()}_FAILED", str(failure), physical_id)
        self._failed.setdefault(verb, []).append(logical_id)
        self._exchange.cancel(self._operation)

    def _keep(
        self,
        logical_id: str,
        kind: str,
        status: str,
        properties: Record,
        made: tuple[str, Record, str],
    ) -> Record:
        physical_id, attributes, seed = made
        record = {
            "PhysicalResourceId": physical_id,
            "ResourceType": kind,
            "ResourceStatus": status,
            "LogicalResourceId": logical_id,
            "Properties": properties,
            "Attributes": attributes,
            "Timestamp": now_iso(),
        }
        if seed:
            record["_name_seed"] = seed
        self._resources[logical_id] = record
        self._changed.append(logical_id)
        return record

    # The stack ------------------------------------------------------------------------------

    async def _succeed(
        self, prefix: str, outputs: list[Any], exports: Record, removed: list[str]
    ) -> None:
        stack = self._stack
        stack["_template"] = self._template
        stack["_resolved_params"] = self._parameters
        stack["StackStatusReason"] = ""
        stack["Outputs"] = outputs
        internal(cloudformation, "_exports").update(exports)
        reason = ""
        if self._previous is not None:
            self._stack_event("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
            reason = "" if await self._clean_up(removed) else _LEFTOVERS
        self._stack_event(f"{prefix}_COMPLETE", reason)

    async def _clean_up(self, removed: list[str]) -> bool:
        """Delete what the update has replaced and removed. Returns whether all of it is gone."""
        gone = True
        for logical_id, old, later in reversed(self._replaced):
            policy = self._evaluation.policy(logical_id, "UpdateReplacePolicy")
            gone &= await self._delete(logical_id, old, policy, later)
        definitions = (self._previous or {}).get("_template", {}).get("Resources", {})
        order = topological_order(definitions)
        for logical_id in sorted(removed, key=order.index, reverse=True):
            old = self._old[logical_id]
            policy = self._evaluation.policy(logical_id, "DeletionPolicy", definitions)
            if await self._delete(logical_id, old, policy, ()):
                self._resources.pop(logical_id, None)
            else:
                self._resources[logical_id]["ResourceStatus"] = "DELETE_FAILED"
                gone = False
        return gone

    async def _delete(
        self, logical_id: str, old: Record, policy: str, later: Sequence[Any]
    ) -> bool:
        kind, physical_id = old["ResourceType"], old["PhysicalResourceId"]
        properties = old.get("Properties", {})
        if policy in RETAINING:
            self._event(logical_id, kind, "DELETE_SKIPPED", physical_id=physical_id)
            return True
        self._event(logical_id, kind, "DELETE_IN_PROGRESS", physical_id=physical_id)
        try:
            for delete, arguments, options in later:
                delete(*arguments, **options)
            if policy == "Snapshot":
                internal(stacks, "_snapshot_resource")(kind, physical_id, properties)
            now = self._resources.get(logical_id, {})
            if not later or now.get("PhysicalResourceId") != physical_id:
                delete = internal(stacks, "_delete_resource")
                await _run(kind, delete, kind, physical_id, properties, self._name, logical_id)
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is the event's reason
            self._event(logical_id, kind, "DELETE_FAILED", str(failure), physical_id)
            return False
        self._event(logical_id, kind, "DELETE_COMPLETE", physical_id=physical_id)
        return True

    async def _fail(self, prefix: str, own_reason: str = "") -> None:
        """Turn back, or stay as it is with rollback disabled."""
        lists = (
            f"The following resource(s) failed to {verb}: [{', '.join(names)}]. "
            for verb, names in sorted(self._failed.items())
        )
        reason = "User Initiated" if self._cancelled else own_reason or "".join(lists)
        operation = internal(stacks, "_failed_operation")(
            self._previous is not None,
            self._previous,
            self._changed,
            self._untouched,
            None,
            [logical_id for logical_id, _, _ in self._replaced],
            self._cancelled,
            self._template,
            self._parameters,
            self._retain_except_on_create,
            self._stack.get("Tags") or [],
            (self._previous or {}).get("Tags") or [],
        )
        if self._rollback:
            if self._previous is None:
                reason = f"{reason.rstrip(' .')}. Rollback requested by user."
            roll_back = internal(stacks, "_roll_back_operation")
            await roll_back(self._name, self._id, self._stack, operation, reason)
            return
        self._stack["_failed_operation"] = operation
        self._stack["StackStatusReason"] = reason
        self._stack_event(f"{prefix}_FAILED", reason)

    def _is_invalid(self, order: list[str]) -> bool:
        """Whether ministack refuses the template's properties; it has failed the stack then."""
        check = internal(stacks, "_fail_property_validation")
        return not self._stack.get("_disable_validation") and bool(
            check(
                self._stack,
                self._id,
                self._name,
                self._definitions,
                order,
                self._parameters,
                self._evaluation.conditions,
                self._template.get("Mappings", {}),
                not self._rollback,
                previous_stack=self._previous,
            )
        )

    # Events ---------------------------------------------------------------------------------

    def _event(
        self, logical_id: str, kind: str, status: str, reason: str = "", physical_id: str = ""
    ) -> None:
        add = internal(stacks, "_add_event")
        add(self._id, self._name, logical_id, kind, status, reason, physical_id)

    def _stack_event(self, status: str, reason: str = "") -> None:
        self._stack["StackStatus"] = status
        self._event(self._name, STACK, status, reason, self._id)


async def _run(kind: str, work: Any, *arguments: Any) -> Any:
    """Run what blocks in a thread of its own, and all else right here."""
    if internal(stacks, "_runs_on_worker_thread")(kind):
        return await run_reentrant(work, *arguments)
    return work(*arguments)
