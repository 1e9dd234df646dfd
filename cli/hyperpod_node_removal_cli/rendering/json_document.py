"""Findings as one JSON document, for other programs. `schema.json` describes it."""

import json
from dataclasses import asdict
from typing import Any, Final

from hyperpod_node_removal_cli.rendering.escaping import inert_json
from hyperpod_node_removal_cli.report import Findings, Place, Report

VERSION: Final = 1
"""Of the document. It changes if a key changes its meaning or goes; a new key is no change."""


def json_document(findings: Findings) -> str:
    """The document in ASCII."""
    document = {
        "version": VERSION,
        "command": findings.command,
        "exit_code": int(findings.conclusion),
        "reports": [_report(report) for report in findings.reports],
    }
    return inert_json(json.dumps(document, indent=2))


def _report(report: Report) -> dict[str, Any]:
    return {
        "subject": report.subject,
        "exit_code": int(report.conclusion),
        "headline": report.headline,
        "cluster": report.cluster,
        "problems": [
            {"text": problem.text, **_place(problem.place)} for problem in report.problems
        ],
        "nodes": [
            {
                "name": node.name,
                "outcome": str(node.outcome),
                "group": node.group,
                "instance_type": node.instance_type,
                "status": node.status,
                "code": node.code,
                "message": node.message,
                "next_step": node.next_step,
                **_place(node.place),
            }
            for node in report.nodes
        ],
        "groups": [asdict(group) for group in report.groups],
        "notes": list(report.notes),
        "stack": asdict(report.stack) if report.stack else None,
        "attributes": dict(report.attributes),
    }


def _place(place: Place | None) -> dict[str, Any]:
    return {"file": place.file if place else None, "line": place.line if place else None}
