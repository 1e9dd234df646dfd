"""A rule for cfn-lint: `cfn-lint --append-rules schemas/cfn_lint --template TEMPLATE`.

cfn-lint looks at all custom resources alike, and not at what a schema says of one. The rule holds
the properties of `Custom::HyperPodNodeRemoval` against the schema beside this folder. What an
intrinsic function stands for is judged as far as it is known.
"""

import json
from pathlib import Path

from cfnlint.rules.jsonschema.CfnLintJsonSchema import CfnLintJsonSchema

SCHEMA = Path(__file__).resolve().parent.parent / "custom-hyperpod-node-removal.json"


class NodeRemovalProperties(CfnLintJsonSchema):  # type: ignore[misc]  # cfn-lint has no types
    """Properties of `Custom::HyperPodNodeRemoval`."""

    id = "E9301"
    shortdesc = "Validate the properties of Custom::HyperPodNodeRemoval"
    description = "The function refuses any other properties when the stack is deployed"
    tags = ["resources", "sagemaker"]  # noqa: RUF012 - cfn-lint's own way

    def __init__(self) -> None:
        super().__init__(
            keywords=["Resources/Custom::HyperPodNodeRemoval/Properties"], all_matches=True
        )
        self._schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
        self._use_schema_arg = False
