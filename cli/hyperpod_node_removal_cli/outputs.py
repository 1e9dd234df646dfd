"""The attributes of a removal, where a stack has them as Outputs of the same names."""

import json
from collections.abc import Mapping

from hyperpod_node_removal_handler.contract import Attribute, printable


def attributes_in(outputs: Mapping[str, str]) -> dict[str, str]:
    """Those of the outputs that are attributes."""
    known = frozenset(str(attribute) for attribute in Attribute)
    return {key: value for key, value in outputs.items() if key in known}


def told(attributes: Mapping[str, str]) -> str:
    """The outcome with its counts, as a sentence."""
    counts = (
        (Attribute.REMOVED_COUNT, "removed"),
        (Attribute.ACCEPTED_COUNT, "still leaving"),
        (Attribute.PLANNED_COUNT, "planned, none removed"),
        (Attribute.ALREADY_ABSENT_COUNT, "already absent"),
        (Attribute.FAILED_COUNT, "not removed"),
    )
    told = [
        f"{attributes[count]} {what}"
        for count, what in counts
        if attributes.get(count, "0") not in {"0", ""}
    ]
    cluster = attributes.get(Attribute.CLUSTER_NAME, "")
    where = f" in {cluster}" if cluster else ""
    return f"{attributes[Attribute.OUTCOME]}: {', '.join(told) or 'no nodes'}{where}."


def template_note(attributes: Mapping[str, str]) -> tuple[str, ...]:
    """The counts to write into the cluster's template, if they are known."""
    try:
        counts = json.loads(attributes.get(Attribute.INSTANCE_GROUP_TARGET_COUNTS) or "{}")
    except ValueError:
        return ()
    if not isinstance(counts, dict) or not counts:
        return ()
    told = ", ".join(f"{printable(str(group))}: {count}" for group, count in counts.items())
    return (f"Counts for the cluster's template (InstanceCount): {told}.",)
