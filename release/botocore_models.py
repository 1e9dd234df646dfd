"""Write the botocore service models of the function: a few operations of four services.

    python release/botocore_models.py

The models come from the installed botocore, which the lock file pins. The function uses its copies
before those of the Lambda runtime (`aws`). So its calls do not depend on the runtime's SDK, and a
client is created without parsing megabytes of JSON. Of a response, a copy has what the function
reads, and no errors: the function knows them by their codes. botocore takes everything else
(endpoint rules, partitions) from its own data.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import botocore

DATA: Final = (
    Path(__file__).resolve().parent.parent / "lambda" / "hyperpod_node_removal_handler" / "data"
)

OPERATIONS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("cloudformation", "2010-05-15"): ("DescribeStacks", "SignalResource"),
    ("events", "2015-10-07"): ("PutEvents",),
    ("lambda", "2015-03-31"): ("Invoke",),
    ("sagemaker", "2017-07-24"): (
        "BatchDeleteClusterNodes",
        "DescribeCluster",
        "DescribeClusterNode",
        "ListClusterNodes",
    ),
}
"""Operations the function calls, by service and API version."""

_NODE: Final = frozenset(
    {
        "InstanceGroupName",
        "InstanceId",
        "InstanceStatus",
        "InstanceType",
        "NodeLogicalId",
        "PrivateDnsHostname",
    }
)

READ: Final[Mapping[str, frozenset[str]]] = {
    "ClusterAutoScalingConfigOutput": frozenset({"AutoScalerType", "Mode"}),
    "ClusterInstanceGroupDetails": frozenset({"InstanceGroupName", "SlurmConfig", "TargetCount"}),
    "ClusterNodeDetails": _NODE,
    "ClusterNodeSummary": _NODE,
    "ClusterOrchestrator": frozenset({"Eks"}),
    "ClusterSlurmConfigDetails": frozenset({"NodeType"}),
    "DescribeClusterResponse": frozenset(
        {
            "AutoScaling",
            "ClusterArn",
            "ClusterName",
            "ClusterStatus",
            "InstanceGroups",
            "NodeRecovery",
            "Orchestrator",
            "RestrictedInstanceGroups",
        }
    ),
    "Stack": frozenset({"LastOperations", "LastUpdatedTime", "StackStatus"}),
}
"""Members of responses that the function reads, by shape. Of other shapes all are kept."""

# Text for people, errors, and constraints that the service checks and botocore does not.
_UNUSED: Final = frozenset({"deprecatedMessage", "documentation", "documentationUrl", "errors"})
_UNCHECKED: Final = frozenset({"enum", "pattern"})


def main() -> None:
    """Write every model below `DATA`."""
    for relative_path, text in pruned_models().items():
        path = DATA / relative_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii", newline="\n")
        print(f"{path.stat().st_size:>7} bytes  {path}")


def pruned_models() -> dict[str, str]:
    """Return the texts of the pruned models, by path relative to `DATA`."""
    models = {}
    for (service, version), operations in OPERATIONS.items():
        folder = f"{service}/{version}"
        model = pruned(_installed_model(folder), operations)
        models[f"{folder}/service-2.json"] = json.dumps(model, indent=1, sort_keys=True) + "\n"
    return models


def pruned(model: Mapping[str, Any], operations: tuple[str, ...]) -> dict[str, Any]:
    """Return the part of a service model that these operations need."""
    kept = {name: _without(model["operations"][name], _UNUSED) for name in operations}
    reached: dict[str, Any] = {}
    pending = [name for operation in kept.values() for name in _shapes_named_in(operation)]
    while pending:
        name = pending.pop()
        if name not in reached:
            shape = _without(_read_part(name, model["shapes"][name]), _UNUSED)
            reached[name] = {key: shape[key] for key in shape if key not in _UNCHECKED}
            pending.extend(_shapes_named_in(reached[name]))
    return {
        "version": model["version"],
        "metadata": model["metadata"],
        "operations": kept,
        "shapes": reached,
    }


def _installed_model(folder: str) -> dict[str, Any]:
    path = Path(botocore.__file__).parent / "data" / folder / "service-2.json.gz"
    model: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return model


def _read_part(name: str, shape: Mapping[str, Any]) -> Mapping[str, Any]:
    if name not in READ:
        return shape
    members = shape["members"]
    return {**shape, "members": {member: members[member] for member in sorted(READ[name])}}


def _without(part: Any, keys: frozenset[str], *, names: bool = False) -> Any:
    """Return `part` without these keys. The keys of `members` are names, so all of them stay."""
    if isinstance(part, dict):
        return {
            key: _without(value, keys, names=key == "members" and not names)
            for key, value in part.items()
            if names or key not in keys
        }
    if isinstance(part, list):
        return [_without(item, keys) for item in part]
    return part


def _shapes_named_in(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("shape"), str):
            yield part["shape"]
        for value in part.values():
            yield from _shapes_named_in(value)
    elif isinstance(part, list):
        for item in part:
            yield from _shapes_named_in(item)


if __name__ == "__main__":
    main()
