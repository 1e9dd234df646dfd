"""A create or an update of a stack with its resources in parallel; ministack's are sequential.

Changed: a resource starts once its dependencies are complete. If one fails, the rollback starts at
once, while the functions of others may still run (cloudformation-coverage-roadmap #1730, #1814;
aws-cdk PR #36951). What an update replaces or removes is deleted in
UPDATE_COMPLETE_CLEANUP_IN_PROGRESS. A failure of the stack itself, such as an empty export, is the
reason of its own event only.
"""

import asyncio
from typing import Any, Final

from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, handlers, stacks

from sandbox.engine import replace
from sandbox.engine.change import Change, Record, topological_order
from sandbox.engine.exchange import Exchange
from sandbox.engine.resources import Resources

_LEFTOVERS: Final = "Update successful. One or more resources could not be deleted."


def install(exchange: Exchange) -> None:
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
        change = Change(
            cloudformation._stacks[stack_name],
            template,
            param_values,
            previous=previous_stack or {} if is_update else None,
            rollback=not disable_rollback,
            retain_except_on_create=retain_except_on_create,
            sends_failed_attempt=exchange.sends_failed_attempt,
        )
        deployment = running[stack_id] = Deployment(change, exchange)
        try:
            await deployment.run()
        finally:
            del running[stack_id]

    for module in (changesets, handlers):
        replace(module, "_deploy_stack_async", lambda _: deploy)
    actions = handlers._ACTION_HANDLERS
    cancel = actions["CancelUpdateStack"]

    def cancel_update(params: dict[str, Any]) -> Any:
        response = cancel(params)
        stack = handlers._resolve_stack(params["StackName"][0])
        if stack and (deployment := running.get(stack["StackId"])):
            deployment.cancel()
        return response

    actions["CancelUpdateStack"] = cancel_update


class Deployment:
    """A create or an update that runs, and can be canceled."""

    def __init__(self, change: Change, exchange: Exchange) -> None:
        self._change = change
        self._resources = Resources(change, exchange)
        self._canceled = False

    async def run(self) -> None:
        """Create or update the resources, then complete the stack or roll it back."""
        stack = self._change.stack
        stack.pop("_failed_operation", None)
        stack["_properties"] = {}
        try:
            order = self._change.order()
        except ValueError as problem:
            await self._fail(str(problem))
            return
        if self._is_invalid(order):
            return
        tasks: dict[str, asyncio.Task[None]] = {}
        for logical_id in order:
            before = [tasks[name] for name in self._change.dependencies(logical_id, set(tasks))]
            tasks[logical_id] = asyncio.create_task(
                self._resources.provision_after(before, logical_id)
            )
        await asyncio.gather(*tasks.values())
        stack["_properties"] = {}
        if self._resources.failed or self._canceled:
            await self._fail()
            return
        removed = [name for name in self._change.old if name not in order]
        try:
            outputs, exports = self._change.outputs(set(removed))
        except Exception as problem:  # noqa: BLE001 - the text is the stack's reason
            await self._fail(str(problem))
            return
        await self._succeed(outputs, exports, removed)

    def cancel(self) -> None:
        """Roll the update back, as its user requests."""
        self._canceled = True
        self._resources.cancel()

    @property
    def _verb(self) -> str:
        return "CREATE" if self._change.previous is None else "UPDATE"

    async def _succeed(self, outputs: list[Any], exports: Record, removed: list[str]) -> None:
        stack = self._change.stack
        stack["_template"] = self._change.template
        stack["_resolved_params"] = self._change.parameters
        stack["StackStatusReason"] = ""
        stack["Outputs"] = outputs
        cloudformation._exports.update(exports)
        reason = ""
        if self._change.previous is not None:
            self._change.set_status("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
            reason = "" if await self._clean_up(removed) else _LEFTOVERS
        self._change.set_status(f"{self._verb}_COMPLETE", reason)

    async def _clean_up(self, removed: list[str]) -> bool:
        """Delete what the update has replaced or removed. Returns whether all of it is gone."""
        gone = True
        for logical_id, old, later in reversed(self._resources.replaced):
            policy = self._change.policy(logical_id, "UpdateReplacePolicy")
            gone &= await self._resources.delete(logical_id, old, policy, later)
        definitions = (self._change.previous or {}).get("_template", {}).get("Resources", {})
        order = topological_order(definitions)

        def place(logical_id: str) -> int:
            # what an earlier clean-up could not delete is in neither template
            return order.index(logical_id) if logical_id in order else len(order)

        for logical_id in sorted(removed, key=place, reverse=True):
            old = self._change.old[logical_id]
            policy = self._change.policy(logical_id, "DeletionPolicy", definitions)
            if await self._resources.delete(logical_id, old, policy, ()):
                self._resources.records.pop(logical_id, None)
            else:
                self._resources.records[logical_id]["ResourceStatus"] = "DELETE_FAILED"
                gone = False
        return gone

    async def _fail(self, own_reason: str = "") -> None:
        """Roll back, or leave the stack failed with rollback disabled."""
        change, resources = self._change, self._resources
        lists = (
            f"The following resource(s) failed to {verb}: [{', '.join(names)}]. "
            for verb, names in sorted(resources.failed.items())
        )
        reason = "User Initiated" if self._canceled else own_reason or "".join(lists)
        operation = stacks._failed_operation(
            change.previous is not None,
            change.previous,
            resources.changed,
            resources.untouched,
            None,
            [logical_id for logical_id, _, _ in resources.replaced],
            self._canceled,
            change.template,
            change.parameters,
            change.retain_except_on_create,
            change.stack.get("Tags") or [],
            (change.previous or {}).get("Tags") or [],
        )
        stack = change.stack
        if change.rollback:
            if change.previous is None:
                reason = f"{reason.rstrip(' .')}. Rollback requested by user."
            await stacks._roll_back_operation(
                change.name, stack["StackId"], stack, operation, reason
            )
            return
        stack["_failed_operation"] = operation
        stack["StackStatusReason"] = reason
        change.set_status(f"{self._verb}_FAILED", reason)

    def _is_invalid(self, order: list[str]) -> bool:
        """Return whether ministack rejects the template's properties and has failed the stack."""
        change, stack = self._change, self._change.stack
        return not stack.get("_disable_validation") and bool(
            stacks._fail_property_validation(
                stack,
                stack["StackId"],
                change.name,
                change.definitions,
                order,
                change.parameters,
                self._change.conditions,
                change.template.get("Mappings", {}),
                not change.rollback,
                previous_stack=change.previous,
            )
        )
