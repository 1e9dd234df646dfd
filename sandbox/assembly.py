"""A stack of a synthesized CDK app, for deployment without the CDK CLI and without a bootstrap."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.stacks import ASSET_BUCKET

_BOOTSTRAP_BUCKET = re.compile(r"cdk-[a-z0-9]+-assets-\$\{AWS::AccountId\}-\$\{AWS::Region\}")


@dataclass(frozen=True)
class AssembledStack:
    """A template, and the directories its functions are made from by object key."""

    template: dict[str, Any]
    assets: dict[str, Path]


def read_assembly(directory: Path, stack_name: str) -> AssembledStack:
    """Read one stack from a `cdk.out`, with its assets expected in the sandbox's bucket.

    The check of the bootstrap's version is dropped, since there is none.
    """
    text = (directory / f"{stack_name}.template.json").read_text(encoding="utf-8")
    template: dict[str, Any] = json.loads(_BOOTSTRAP_BUCKET.sub(ASSET_BUCKET, text))
    for section, name in (("Parameters", "BootstrapVersion"), ("Rules", "CheckBootstrapVersion")):
        template.get(section, {}).pop(name, None)
    manifest = json.loads((directory / f"{stack_name}.assets.json").read_text(encoding="utf-8"))
    assets = {}
    for file in manifest.get("files", {}).values():
        if file["source"]["packaging"] == "zip":
            (destination,) = file["destinations"].values()
            assets[destination["objectKey"]] = directory / file["source"]["path"]
    return AssembledStack(template, assets)
