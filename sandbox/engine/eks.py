"""EKS, as far as a client of a cluster's Kubernetes API needs it.

Filled in: DescribeCluster of clusters that `sandbox.eks` serves (ministack would start a
container for one), and `AWS::EKS::AccessEntry` in CloudFormation, which is written down as it is.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ministack.services.cloudformation import provisioners

from sandbox.engine import EKS_ACCESS_ENTRIES, EKS_FOLDER
from sandbox.engine.internals import internal

PATH: Final = "/clusters/"
ACCESS_ENTRY: Final = "AWS::EKS::AccessEntry"


def described(directory: Path, path: str) -> bytes | None:
    """The answer of DescribeCluster, or None for what is not about a cluster that is known."""
    name = path.removeprefix(PATH)
    file = directory / EKS_FOLDER / f"{name}.json"
    if not path.startswith(PATH) or not name.replace("-", "").isalnum() or not file.exists():
        return None
    return file.read_bytes()


def install(directory: Path) -> None:
    """Add the type of access entries to ministack's CloudFormation in this process."""
    entries = directory / EKS_FOLDER / EKS_ACCESS_ENTRIES

    def create(
        logical_id: str, props: Mapping[str, Any], stack_name: str
    ) -> tuple[str, dict[str, Any]]:
        entries.parent.mkdir(exist_ok=True)
        with entries.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(props)) + "\n")
        arn = f"{props['ClusterName']}/{logical_id}/{stack_name}"
        return arn, {"AccessEntryArn": arn}

    def delete(physical_id: str, props: Mapping[str, Any]) -> None:
        pass

    internal(provisioners, "_RESOURCE_HANDLERS")[ACCESS_ENTRY] = {
        "create": create,
        "delete": delete,
    }
