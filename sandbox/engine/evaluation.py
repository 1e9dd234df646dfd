"""What a template says of a stack's resources and outputs, evaluated by ministack's own means."""

import copy
from typing import Any, Final

from ministack.services.cloudformation import engine, stacks

from sandbox.engine.internals import internal
from sandbox.engine.settings import Settings

Record = dict[str, Any]

LAST_SUCCESS: Final = "_last_success"
"""Where the record of a resource whose update failed keeps the properties from before."""
RETAINING: Final = internal(stacks, "_RETAINING_POLICIES")
"""The policies that keep a resource."""


def topological_order(definitions: Record, conditions: Record | None = None) -> list[str]:
    """Logical ids, each behind what it depends on; ValueError for a circle."""
    order: list[str] = internal(engine, "_topological_sort")(definitions, conditions or {})
    return order


class Evaluation:
    """A template and its parameters, for a stack whose resources come to be one by one."""

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
        self.conditions: Record = internal(engine, "_evaluate_conditions")(template, parameters)
        mappings = template.get("Mappings", {})
        self._context = (
            parameters,
            self.conditions,
            mappings,
            stack["StackName"],
            stack["StackId"],
        )

    def order(self) -> list[str]:
        """Logical ids of the resources whose conditions hold, each behind what it depends on."""
        return topological_order(self._definitions, self.conditions)

    def needs(self, logical_id: str, known: set[str]) -> set[str]:
        """What the resource depends on."""
        needed: set[str] = internal(engine, "_extract_deps")(self._definitions[logical_id], known)
        return needed - {logical_id}

    def properties(self, definition: Record, old: Record | None) -> tuple[Record, Record]:
        """The resource's properties, and the values of dynamic references in them."""
        resolved = internal(engine, "_resolve_refs")(
            copy.deepcopy(definition.get("Properties", {})),
            self._stack["_resources"],
            *self._context,
        )
        missing = internal(engine, "_NO_VALUE")
        present = {key: value for key, value in resolved.items() if value is not missing}
        properties, dynamic = internal(engine, "_resolve_dynamic_references")(
            present, (old or {}).get("_dynamic"), reuse_ssm=False, reuse_secrets=False
        )
        return properties, dynamic

    def before_and_after(
        self, logical_id: str, kind: str, old: Record, properties: Record
    ) -> tuple[Record, Record]:
        """The properties that an update is told of: those that were, and those that shall be."""
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
        """The properties with the stack's tags."""
        given = self._stack.get("Tags") or [] if tags is None else tags
        name, identity = self._context[-2:]
        add = internal(stacks, "_with_stack_tags")
        tagged: Record = add(kind, properties, given, name, identity, logical_id)
        return tagged

    def policy(self, logical_id: str, name: str, definitions: Record | None = None) -> str:
        """The resource's DeletionPolicy or UpdateReplacePolicy."""
        definition = (definitions or self._definitions).get(logical_id)
        find = internal(stacks, "_resource_policy")
        return str(find(definition, name, self._stack["_resources"], *self._context))

    def outputs(self, removed: set[str]) -> tuple[list[Record], Record]:
        """The stack's outputs and exports, which may not lean on what is being removed.

        Raises:
            Exception: one of them cannot be told; the text is the stack's reason.
        """
        resources = self._stack["_resources"]
        surviving = {key: value for key, value in resources.items() if key not in removed}
        parameters, conditions, *rest = self._context
        outputs, exports = internal(stacks, "_resolve_stack_outputs")(
            self._template.get("Outputs", {}), conditions, surviving, parameters, *rest
        )
        for output in outputs:
            if "ExportName" in output and not output["OutputValue"].strip():
                raise ValueError(
                    f"Cannot export output {output['OutputKey']}. Exported values must not be empty"
                    " or whitespace-only"
                )
        return outputs, exports
