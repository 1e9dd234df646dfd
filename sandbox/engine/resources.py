"""The resources of one create or update of a stack.

Changed: if a resource fails, those in progress are canceled at once. A resource whose Create was
sent gets a Delete in the rollback, with the id of its reply or a generated one. A resource that
does not change has no events, one that an update adds is created, and a created one has an event
with its id before it is complete or failed. Nothing is replaced with rollback disabled
(aws-sam-cli #4164).
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from ministack.core.concurrency import run_reentrant
from ministack.core.responses import now_iso
from ministack.services.cloudformation import provisioners, stacks

from sandbox.engine.change import LAST_SUCCESS, RETAINING, Change, Record
from sandbox.engine.custom_resources import OPERATION, CustomResourceFailed, generated_id
from sandbox.engine.events import CUSTOM, STACK, is_custom
from sandbox.engine.exchange import Exchange, Operation

_INITIATED: Final = "Resource creation Initiated"
_REPLACING: Final = (
    "Requested update requires the creation of a new physical resource; hence creating one."
)
_REPLACED: Final = "Requested update required the provider to create a new physical resource"
_NO_REPLACEMENT: Final = "Replacement type updates not supported on stack with disable-rollback."


class Resources:
    """The resources, and the results so far."""

    def __init__(self, change: Change, exchange: Exchange) -> None:
        self._change = change
        self._stack = change.stack
        self._event = change.add_event
        self._exchange = exchange
        self._operation = Operation()
        self.records: dict[str, Record] = change.stack.setdefault("_resources", {})
        self.changed: list[str] = []
        """What a rollback must undo, in order."""
        self.failed: dict[str, list[str]] = {}
        """Logical ids of the resources that failed, by verb: create or update."""
        self.untouched: tuple[Any, ...] | None = None
        """The resource whose update failed before it changed anything, as ministack records it."""
        self.replaced: list[tuple[str, Record, Sequence[Any]]] = []
        """Logical id, old record and deferred deletions."""

    def cancel(self) -> None:
        """Start no more resources, and stop waiting for those in progress."""
        self._exchange.cancel(self._operation)

    async def provision_after(self, before: list[asyncio.Task[None]], logical_id: str) -> None:
        """Create or update a resource once those that it depends on are done."""
        await asyncio.gather(*before)
        if self._operation.canceled:
            return
        OPERATION.set(self._operation)
        definition = self._change.definitions[logical_id]
        kind = definition.get("Type", CUSTOM)
        old = self._change.old.get(logical_id)
        creates = old is None or old.get("ResourceStatus") == "CREATE_FAILED"
        try:
            properties, dynamic = self._change.properties(definition, old)
            self._stack["_properties"][logical_id] = properties
            if old is None or creates:
                made = await self._create(logical_id, kind, properties)
            elif not self._is_changed(logical_id, kind, old, properties):
                return
            else:
                made = await self._update(logical_id, kind, old, properties)
        except Exception as failure:  # noqa: BLE001 - the text is the resource's reason
            self._fail(logical_id, kind, None if creates else old, failure)
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
            stacks._provision_keeping_seed,
            kind,
            logical_id,
            self._change.tagged(logical_id, kind, properties),
            self._change.name,
        )
        self._event(logical_id, kind, "CREATE_IN_PROGRESS", _INITIATED, physical_id)
        return physical_id, attributes, seed

    def _is_changed(self, logical_id: str, kind: str, old: Record, properties: Record) -> bool:
        before, after = self._change.before_and_after(logical_id, kind, old, properties)
        return before != after or kind == STACK or old.get("ResourceStatus") == "UPDATE_FAILED"

    async def _update(
        self, logical_id: str, kind: str, old: Record, properties: Record
    ) -> tuple[str, Record, str]:
        physical_id, attributes = old["PhysicalResourceId"], old.get("Attributes", {})
        before, after = self._change.before_and_after(logical_id, kind, old, properties)
        self._event(logical_id, kind, "UPDATE_IN_PROGRESS", physical_id=physical_id)
        if stacks._replacing_change(kind, before, after):
            self._refuse_replacement()
            self._event(logical_id, kind, "UPDATE_IN_PROGRESS", _REPLACING, physical_id)
        later: list[Any] = []
        # these context variables are those of this resource's task
        policy = self._change.policy(logical_id, "UpdateReplacePolicy")
        stacks._RETAIN_REPLACED.set(policy in RETAINING)
        stacks._DEFERRED_PREDECESSOR_DELETES.set(later)
        stacks._NAME_SEED.set(old.get("_name_seed", ""))
        if is_custom(kind):
            # even if it failed before and nothing has changed since
            update = provisioners._custom_resource_update
            made = await _run(
                kind, update, physical_id, before, after, self._change.name, logical_id, kind
            )
            seed = ""
        else:
            update = stacks._update_keeping_seed
            made, seed = await _run(
                kind,
                update,
                kind,
                physical_id,
                before,
                after,
                self._change.name,
                logical_id,
                attributes,
            )
        new_id, new_attributes = made
        if new_id != physical_id or later:
            if is_custom(kind):
                self._refuse_replacement()
                self._event(logical_id, kind, "UPDATE_IN_PROGRESS", _REPLACED, new_id)
            self.replaced.append((logical_id, old, later))
        return new_id, new_attributes, seed

    def _refuse_replacement(self) -> None:
        if not self._change.rollback:
            raise CustomResourceFailed(_NO_REPLACEMENT)

    def _fail(self, logical_id: str, kind: str, old: Record | None, failure: Exception) -> None:
        properties = self._stack["_properties"].get(logical_id, {})
        if old is None:
            verb, physical_id = "create", ""
            if isinstance(failure, CustomResourceFailed):
                if failure.physical_id:
                    replied = failure.physical_id
                    self._event(logical_id, kind, "CREATE_IN_PROGRESS", _INITIATED, replied)
                physical_id = failure.physical_id or generated_id(self._change.name, logical_id)
                self._keep(logical_id, kind, "CREATE_FAILED", properties, (physical_id, {}, ""))
        else:
            verb, physical_id = "update", old["PhysicalResourceId"]
            if stacks._sends_back_failed_update(kind):
                made = (physical_id, old.get("Attributes", {}), old.get("_name_seed", ""))
                record = self._keep(logical_id, kind, "UPDATE_FAILED", properties, made)
                record[LAST_SUCCESS] = old.get(LAST_SUCCESS, old["Properties"])
            else:
                self.untouched = (logical_id, kind, physical_id, None, None, None)
        self._event(logical_id, kind, f"{verb.upper()}_FAILED", str(failure), physical_id)
        self.failed.setdefault(verb, []).append(logical_id)
        self.cancel()

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
        self.records[logical_id] = record
        self.changed.append(logical_id)
        return record

    async def delete(self, logical_id: str, old: Record, policy: str, later: Sequence[Any]) -> bool:
        """Delete what the stack no longer has. Returns whether it is gone or retained."""
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
                stacks._snapshot_resource(kind, physical_id, properties)
            now = self.records.get(logical_id, {})
            if not later or now.get("PhysicalResourceId") != physical_id:
                delete = stacks._delete_resource
                await _run(
                    kind, delete, kind, physical_id, properties, self._change.name, logical_id
                )
        except Exception as failure:  # noqa: BLE001 - the text is the event's reason
            self._event(logical_id, kind, "DELETE_FAILED", str(failure), physical_id)
            return False
        self._event(logical_id, kind, "DELETE_COMPLETE", physical_id=physical_id)
        return True


async def _run(kind: str, work: Any, *arguments: Any) -> Any:
    """Run work that blocks in a thread, and other work directly."""
    if stacks._runs_on_worker_thread(kind):
        return await run_reentrant(work, *arguments)
    return work(*arguments)
