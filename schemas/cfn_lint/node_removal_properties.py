"""A rule for cfn-lint: `cfn-lint --append-rules schemas/cfn_lint --template TEMPLATE`.

cfn-lint treats all custom resources alike. This rule validates the properties of
`Custom::HyperPodNodeRemoval` against the schema next to this folder, as far as the values of
intrinsic functions are known.
"""

import json
from pathlib import Path

from cfnlint.rules.jsonschema.CfnLintJsonSchema import CfnLintJsonSchema

SCHEMA = Path(__file__).resolve().parent.parent / "custom-hyperpod-node-removal.json"


class NodeRemovalProperties(CfnLintJsonSchema):  # type: ignore[misc]  # cfn-lint has no types
    """Properties of `Custom::HyperPodNodeRemoval`."""

    id = "E9301"
    shortdesc = "Validate the properties of Custom::HyperPodNodeRemoval"
    description = "The function rejects any other properties when the stack is deployed"
    tags = ["resources", "sagemaker"]  # noqa: RUF012 - as cfn-lint declares them

    def __init__(self) -> None:
        super().__init__(
            keywords=["Resources/Custom::HyperPodNodeRemoval/Properties"], all_matches=True
        )
        self._schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
        self._use_schema_arg = False
