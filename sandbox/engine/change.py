"""One create or update of a stack, and its template, evaluated with ministack's functions."""

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from ministack.services.cloudformation import engine, stacks

from sandbox.engine.events import STACK

Record = dict[str, Any]

LAST_SUCCESS: Final = "_last_success"
"""Key of the properties from before a failed update, in the record of a resource."""
RETAINING: Final = stacks._RETAINING_POLICIES
"""The policies that keep a resource."""


def topological_order(definitions: Record, conditions: Record | None = None) -> list[str]:
    """Return logical ids, each after those it depends on; ValueError for a cycle."""
    order: list[str] = engine._topological_sort(definitions, conditions or {})
    return order


@dataclass
class Change:
    """One create or update of a stack. Its resources are completed one by one."""

    stack: Record
    template: Record
    parameters: Record
    previous: Record | None
    """The stack before the update; None for a create."""
    rollback: bool
    """Whether a failure is rolled back."""
    retain_except_on_create: bool
    sends_failed_attempt: bool
    """See `Exchange.sends_failed_attempt`."""

    @property
    def name(self) -> str:
        return str(self.stack["StackName"])

    @property
    def definitions(self) -> Record:
        """The resources of the template."""
        return self.template.get("Resources") or {}

    @property
    def old(self) -> dict[str, Record]:
        """The records of the resources before an update."""
        return (self.previous or {}).get("_resources") or {}

    @cached_property
    def conditions(self) -> Record:
        """The values of the template's conditions."""
        values: Record = engine._evaluate_conditions(self.template, self.parameters)
        return values

    @property
    def _context(self) -> tuple[Record, Record, Record, str, str]:
        mappings = self.template.get("Mappings", {})
        return self.parameters, self.conditions, mappings, self.name, self.stack["StackId"]

    def add_event(
        self, logical_id: str, kind: str, status: str, reason: str = "", physical_id: str = ""
    ) -> None:
        """Add an event of a resource."""
        stack_id = self.stack["StackId"]
        stacks._add_event(stack_id, self.name, logical_id, kind, status, reason, physical_id)

    def set_status(self, status: str, reason: str = "") -> None:
        """Set the status of the stack, with an event of its own."""
        self.stack["StackStatus"] = status
        self.add_event(self.name, STACK, status, reason, self.stack["StackId"])

    def order(self) -> list[str]:
        """Return logical ids of the resources whose conditions hold, in topological order."""
        return topological_order(self.definitions, self.conditions)

    def dependencies(self, logical_id: str, known: set[str]) -> set[str]:
        """Return what the resource depends on."""
        found: set[str] = engine._extract_deps(self.definitions[logical_id], known)
        return found - {logical_id}

    def properties(self, definition: Record, old: Record | None) -> tuple[Record, Record]:
        """Return the resource's properties, and the values of dynamic references in them."""
        resolved = engine._resolve_refs(
            copy.deepcopy(definition.get("Properties", {})),
            self.stack["_resources"],
            *self._context,
        )
        present = {key: value for key, value in resolved.items() if value is not engine._NO_VALUE}
        properties, dynamic = engine._resolve_dynamic_references(
            present, (old or {}).get("_dynamic"), reuse_ssm=False, reuse_secrets=False
        )
        return properties, dynamic

    def before_and_after(
        self, logical_id: str, kind: str, old: Record, properties: Record
    ) -> tuple[Record, Record]:
        """Return the old and the new properties that an update is sent."""
        is_last_success = LAST_SUCCESS in old and not self.sends_failed_attempt
        before = old[LAST_SUCCESS if is_last_success else "Properties"]
        return (
            self.tagged(logical_id, kind, before, self.previous),
            self.tagged(logical_id, kind, properties),
        )

    def tagged(
        self, logical_id: str, kind: str, properties: Record, stack: Record | None = None
    ) -> Record:
        """Return the properties with the tags of the stack, or of the stack before the update."""
        tags = (stack or self.stack).get("Tags") or []
        *_, name, identity = self._context
        tagged: Record = stacks._with_stack_tags(kind, properties, tags, name, identity, logical_id)
        return tagged

    def policy(self, logical_id: str, name: str, definitions: Record | None = None) -> str:
        """Return the resource's DeletionPolicy or UpdateReplacePolicy."""
        definition = (definitions or self.definitions).get(logical_id)
        resources = self.stack["_resources"]
        return str(stacks._resource_policy(definition, name, resources, *self._context))

    def outputs(self, removed: set[str]) -> tuple[list[Record], Record]:
        """Return the stack's outputs and exports, which must not refer to removed resources.

        Raises:
            Exception: one of them cannot be evaluated; the text is the stack's reason.
        """
        resources = self.stack["_resources"]
        surviving = {key: value for key, value in resources.items() if key not in removed}
        parameters, conditions, *rest = self._context
        outputs, exports = stacks._resolve_stack_outputs(
            self.template.get("Outputs", {}), conditions, surviving, parameters, *rest
        )
        for output in outputs:
            if "ExportName" in output and not output["OutputValue"].strip():
                raise ValueError(
                    f"Cannot export output {output['OutputKey']}. Exported values must not be empty"
                    " or whitespace-only"
                )
        return outputs, exports
