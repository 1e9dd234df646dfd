"""A code quality report of GitLab: what is wrong, at its line of a merge request."""

import hashlib
import json

from hyperpod_node_removal_cli.rendering.issues import issues
from hyperpod_node_removal_cli.report import Findings


def code_quality(findings: Findings) -> str:
    """A JSON array (docs.gitlab.com, "Code Quality", "Code Quality report format")."""
    return json.dumps(
        [
            {
                "description": issue.text,
                "check_name": f"hyperpod-node-removal/{issue.check}",
                "fingerprint": hashlib.sha256(
                    json.dumps([issue.check, issue.place.file, issue.text]).encode()
                ).hexdigest(),
                "severity": "major",
                "location": {"path": issue.place.file, "lines": {"begin": issue.place.line or 1}},
            }
            for issue in issues(findings)
        ],
        indent=2,
    )
