"""Findings for other programs: JSON, JUnit XML, GitHub annotations, GitLab code quality."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree as ET

from hyperpod_node_removal_cli.escaping import escape_control, neutralize_commands_in_json
from hyperpod_node_removal_cli.report import Conclusion, Findings, Report

VERSION: Final = 1
"""Of the JSON document, which `schema.json` describes. It changes if a key changes its meaning or
goes; a new key is no change."""

# As the runner unescapes them: docs.github.com, "Workflow commands for GitHub Actions", and
# actions/toolkit `command.ts`. The first must come first.
_IN_MESSAGE: Final = (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"))
_IN_PROPERTY: Final = (*_IN_MESSAGE, (":", "%3A"), (",", "%2C"))


def json_document(findings: Findings) -> str:
    """Return one JSON document in ASCII."""
    document = {
        "version": VERSION,
        "command": findings.command,
        "exit_code": findings.conclusion,
        "reports": [_json_report(report) for report in findings.reports],
    }
    return neutralize_commands_in_json(json.dumps(document, indent=2))


def _json_report(report: Report) -> dict[str, Any]:
    fields = asdict(report)
    return {
        "subject": fields.pop("subject"),
        "exit_code": fields.pop("conclusion"),
        **fields,
    }


def junit(findings: Findings) -> str:
    """Return JUnit XML, which CI systems show as test results: a suite for each report.

    XML has no control characters, so they are escaped as everywhere.
    """
    root = ET.Element("testsuites", name="hyperpod-node-removal")
    for report in findings.reports:
        root.append(_suite(findings.command, report))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(command: str, report: Report) -> ET.Element:
    name = escape_control(f"{command} {report.subject}")
    suite = ET.Element("testsuite", name=name)
    whole = ET.SubElement(suite, "testcase", classname=name, name=command)
    if report.conclusion is Conclusion.UNKNOWN:
        _add(whole, "error", report.headline)
    elif report.problems:
        _add(whole, "failure", "\n".join(problem.text for problem in report.problems))
    for node in report.nodes:
        case = ET.SubElement(suite, "testcase", classname=name, name=escape_control(node.name))
        if node.is_wrong:
            _add(case, "failure", node.explanation, kind=node.code)
    suite.attrib |= {
        "tests": str(len(suite)),
        "failures": str(len(suite.findall("*/failure"))),
        "errors": str(len(suite.findall("*/error"))),
    }
    return suite


def _add(case: ET.Element, tag: str, text: str, kind: str = "") -> None:
    lines = [escape_control(line) for line in text.split("\n")]
    element = ET.SubElement(case, tag, message=lines[0], type=escape_control(kind) or tag)
    element.text = "\n".join(lines)


class _Issue(NamedTuple):
    """One thing that is wrong."""

    check: str
    """A stable word for the kind of thing: a failure code, `plan`, `validate`, ..."""
    title: str
    text: str
    file: str
    line: int | None


def _issues(findings: Findings) -> Iterator[_Issue]:
    """Return everything that is wrong, problems before nodes."""
    command = findings.command
    for report in findings.reports:
        for problem in report.problems:
            file = problem.file or report.subject
            yield _Issue(command, f"{command}: {report.subject}", problem.text, file, problem.line)
        for node in report.nodes:
            if node.is_wrong:
                yield _Issue(
                    check=node.code or str(node.outcome),
                    title=f"{node.name}: {node.outcome}",
                    text=node.explanation,
                    file=node.file or report.subject,
                    line=node.line,
                )


def github_annotations(findings: Findings) -> str:
    """Return a workflow command of GitHub Actions, `::error`, for each thing that is wrong."""

    def escaped(text: str, escapes: tuple[tuple[str, str], ...]) -> str:
        text = escape_control(text)
        for character, escape in escapes:
            text = text.replace(character, escape)
        return text

    def command(issue: _Issue) -> str:
        values = {"file": issue.file, "line": str(issue.line or ""), "title": issue.title}
        properties = (
            f"{key}={escaped(value, _IN_PROPERTY)}" for key, value in values.items() if value
        )
        return f"::error {','.join(properties)}::{escaped(issue.text, _IN_MESSAGE)}\n"

    return "".join(map(command, _issues(findings)))


def code_quality(findings: Findings) -> str:
    """Return a JSON array (docs.gitlab.com, "Code Quality", "Code Quality report format")."""
    return json.dumps(
        [
            {
                "description": issue.text,
                "check_name": f"hyperpod-node-removal/{issue.check}",
                "fingerprint": hashlib.sha256(
                    json.dumps([issue.check, issue.file, issue.text]).encode()
                ).hexdigest(),
                "severity": "major",
                "location": {"path": issue.file, "lines": {"begin": issue.line or 1}},
            }
            for issue in _issues(findings)
        ],
        indent=2,
    )
