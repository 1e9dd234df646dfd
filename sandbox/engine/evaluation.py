"""The properties and outputs of a template, evaluated with ministack's functions."""

import copy
from typing import Any, Final

from ministack.services.cloudformation import engine, stacks

from sandbox.engine import Settings

Record = dict[str, Any]

LAST_SUCCESS: Final = "_last_success"
"""Key of the properties from before a failed update, in the record of a resource."""
RETAINING: Final = stacks._RETAINING_POLICIES
"""The policies that keep a resource."""


def topological_order(definitions: Record, conditions: Record | None = None) -> list[str]:
    """Return logical ids, each after those it depends on; ValueError for a cycle."""
    order: list[str] = engine._topological_sort(definitions, conditions or {})
    return order


class Evaluation:
    """A template and its parameters, for a stack whose resources are completed one by one."""

    def __init__(
        self,
        stack: Record,
        template: Record,
        parameters: Record,
        previous: Record,
        settings: Settings,
    ) -> None:
        self._stack = stack
        self._template = template
        self._definitions: Record = template.get("Resources", {})
        self._previous_tags = previous.get("Tags") or []
        self._settings = settings
        self.conditions: Record = engine._evaluate_conditions(template, parameters)
        self._context = (
            parameters,
            self.conditions,
            template.get("Mappings", {}),
            stack["StackName"],
            stack["StackId"],
        )

    def order(self) -> list[str]:
        """Return logical ids of the resources whose conditions hold, in topological order."""
        return topological_order(self._definitions, self.conditions)

    def dependencies(self, logical_id: str, known: set[str]) -> set[str]:
        """Return what the resource depends on."""
        found: set[str] = engine._extract_deps(self._definitions[logical_id], known)
        return found - {logical_id}

    def properties(self, definition: Record, old: Record | None) -> tuple[Record, Record]:
        """Return the resource's properties, and the values of dynamic references in them."""
        resolved = engine._resolve_refs(
            copy.deepcopy(definition.get("Properties", {})),
            self._stack["_resources"],
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
        before = old["Properties"]
        if self._settings.retried_from == "LAST_SUCCESS":
            before = old.get(LAST_SUCCESS, before)
        return (
            self.tagged(logical_id, kind, before, self._previous_tags),
            self.tagged(logical_id, kind, properties),
        )

    def tagged(
        self, logical_id: str, kind: str, properties: Record, tags: list[Any] | None = None
    ) -> Record:
        """Return the properties with the stack's tags."""
        given = self._stack.get("Tags") or [] if tags is None else tags
        *_, name, identity = self._context
        tagged: Record = stacks._with_stack_tags(
            kind, properties, given, name, identity, logical_id
        )
        return tagged

    def policy(self, logical_id: str, name: str, definitions: Record | None = None) -> str:
        """Return the resource's DeletionPolicy or UpdateReplacePolicy."""
        definition = (definitions or self._definitions).get(logical_id)
        resources = self._stack["_resources"]
        return str(stacks._resource_policy(definition, name, resources, *self._context))

    def outputs(self, removed: set[str]) -> tuple[list[Record], Record]:
        """Return the stack's outputs and exports, which must not refer to removed resources.

        Raises:
            Exception: one of them cannot be evaluated; the text is the stack's reason.
        """
        resources = self._stack["_resources"]
        surviving = {key: value for key, value in resources.items() if key not in removed}
        parameters, conditions, *rest = self._context
        outputs, exports = stacks._resolve_stack_outputs(
            self._template.get("Outputs", {}), conditions, surviving, parameters, *rest
        )
        for output in outputs:
            if "ExportName" in output and not output["OutputValue"].strip():
                raise ValueError(
                    f"Cannot export output {output['OutputKey']}. Exported values must not be empty"
                    " or whitespace-only"
                )
        return outputs, exports
