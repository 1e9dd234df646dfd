"""Findings as JSON, JUnit XML, GitHub annotations, GitLab code quality, and Markdown.

In Markdown, text from AWS or files is always in code spans, which contain no markup, mentions or
links. A backtick ends a code span and a bar a table cell, so these two are escaped.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Final, NamedTuple
from xml.etree import ElementTree as ET

from hyperpod_node_removal_cli.escaping import (
    escape_control,
    neutralize_commands,
    neutralize_commands_in_json,
)
from hyperpod_node_removal_cli.report import Conclusion, Findings, Report, columns

VERSION: Final = 1
"""Version of the JSON document, which `schema.json` describes. It changes if a key is removed or
changes its meaning, not if one is added."""

# What the runner unescapes: docs.github.com, "Workflow commands for GitHub Actions", and
# actions/toolkit `command.ts`. "%" must come first.
_IN_MESSAGE: Final = (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"))
_IN_PROPERTY: Final = (*_IN_MESSAGE, (":", "%3A"), (",", "%2C"))

MARKDOWN_MAX: Final = 60_000
"""Characters. A comment on GitHub may have 65,536."""
_MARKS: Final = {Conclusion.FINE: "✅", Conclusion.PROBLEMS: "❌", Conclusion.UNKNOWN: "⚠️"}


def json_document(findings: Findings) -> str:
    """Return one JSON document in ASCII."""
    reports = [asdict(report) for report in findings.reports]
    document = {
        "version": VERSION,
        "command": findings.command,
        "exit_code": findings.conclusion,
        "reports": [
            {"subject": one.pop("subject"), "exit_code": one.pop("conclusion"), **one}
            for one in reports
        ],
    }
    return neutralize_commands_in_json(json.dumps(document, indent=2)) + "\n"


def junit(findings: Findings) -> str:
    """Return JUnit XML, which CI systems show as test results: a test suite for each report."""
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
    """Something that is wrong, in a file."""

    check: str
    """A failure code, `plan`, `validate`, ..."""
    title: str
    text: str
    file: str
    line: int | None


def _issues(findings: Findings) -> Iterator[_Issue]:
    """Yield everything that is wrong, problems before nodes."""
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
    """Return a workflow command of GitHub Actions, `::error`, for each issue."""

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
    entries = [
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
    ]
    return json.dumps(entries, indent=2) + "\n"


def markdown(findings: Findings) -> str:
    """Return Markdown for a comment; if it is too long, it ends with a sentence that says so."""
    text = ""
    for report in findings.reports:
        for line in _markdown_lines(findings.command, report):
            if len(text) + len(line) > MARKDOWN_MAX:
                text += "\nThe rest does not fit in a comment; see the output of the command.\n"
                return neutralize_commands(text)
            text += f"{line}\n"
    return neutralize_commands(text)


def _markdown_lines(command: str, report: Report) -> Iterator[str]:
    yield f"### {_MARKS[report.conclusion]} {command} {code(report.subject)}"
    yield ""
    yield code(report.headline)
    yield from _bullets(
        problem.text for problem in report.problems if problem.text != report.headline
    )
    if report.groups:
        yield ""
        yield "After the removal, update the cluster's template with these counts:"
        yield from _bullets(group.text for group in report.groups)
    yield from _bullets(report.notes)
    if report.nodes:
        shown = columns(report.nodes)
        yield ""
        yield _table_row(list(shown))
        yield _table_row(["---"] * len(shown))
        for node in report.nodes:
            yield _table_row([code(str(getattr(node, name))) for name in shown.values()])
    if report.stack:
        stack = report.stack
        yield ""
        yield code(f"Stack {stack.name} is {stack.status}: {stack.meaning}")
        yield from _bullets([stack.next_step] if stack.next_step else ())
    yield ""


def _bullets(texts: Iterable[str]) -> Iterator[str]:
    items = [f"- {code(text)}" for text in texts]
    if items:
        yield ""
        yield from items


def _table_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def code(text: str) -> str:
    """Return `text` in a code span, or nothing if it is empty."""
    inside = escape_control(text).strip().replace("`", "\\x60").replace("|", "\\x7c")
    return f"`{inside}`" if inside else ""
