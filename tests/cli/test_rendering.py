"""Findings in every format, with text from elsewhere escaped in all of them."""

import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperpod_node_removal_cli import documents
from hyperpod_node_removal_cli.documents import (
    MARKDOWN_MAX,
    code,
    code_quality,
    github_annotations,
    json_document,
    junit,
    markdown,
)
from hyperpod_node_removal_cli.escaping import escape_control, neutralize_commands
from hyperpod_node_removal_cli.report import (
    Conclusion,
    Findings,
    GroupChange,
    NodeOutcome,
    NodeReport,
    Problem,
    Report,
    StackReport,
)
from hyperpod_node_removal_cli.terminal import show
from sandbox.project import ROOT

SCHEMA = json.loads(Path(documents.__file__).with_name("schema.json").read_text("utf-8"))
DOCUMENTATION = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")

HOSTILE = (
    "::set-output name=a::b",
    "\n::error::forged",
    "\r\n  ::add-mask::x",
    "##[error]forged",
    "##vso[task.setvariable variable=a]b",
    "\x1b[2J\x1b]0;title\x07",
    "\u202egnp.exe",
    "`code` | cell | [link](javascript:alert) <img src=x> @everyone",
    "</testcase><failure/>]]>&",
    "[bold red]markup[/]",
    "%0A::error::again",
)
hostile = st.one_of(
    st.sampled_from(HOSTILE),
    st.lists(st.sampled_from(HOSTILE), min_size=1).map("".join),
    st.text(max_size=60),
)


def findings_of(text: str) -> Findings:
    """Findings with `text` in every place."""
    node = NodeReport(
        name=text,
        outcome=NodeOutcome.REFUSED,
        group=text,
        instance_type=text,
        status=text,
        code=text,
        message=text,
        next_step=text,
        file=text,
        line=3,
    )
    report = Report(
        subject=text,
        conclusion=Conclusion.PROBLEMS,
        headline=text,
        cluster=text,
        problems=(Problem(text, text, 3), Problem(f"more {text}")),
        nodes=(node, NodeReport(name=text, outcome=NodeOutcome.REMOVE)),
        groups=(GroupChange(text, 8, 5),),
        notes=(text,),
        stack=StackReport(name=text, stack_id=text, status=text, meaning=text, next_step=text),
        attributes={text: text},
    )
    return Findings("plan", (report,))


def shown(findings: Findings) -> str:
    stream = io.StringIO()
    show(findings, stream)
    return stream.getvalue()


def shown_on_terminal(findings: Findings, width: int) -> str:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", str(width))
        show(findings, stream)
    return re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue())


def has_no_commands(text: str) -> bool:
    lines = re.split(r"[\r\n\x0b\x0c\x85\u2028\u2029]", text)
    return not any(
        line.lstrip().startswith("::") or re.search(r"##(\[|vso\[)", line, re.IGNORECASE)
        for line in lines
    )


@given(hostile)
def test_no_format_contains_a_command_or_a_control_character(text: str) -> None:
    findings = findings_of(text)
    for form in (shown(findings), markdown(findings), json_document(findings)):
        assert has_no_commands(form)
        assert all(character.isprintable() for character in form.replace("\n", ""))


@given(hostile)
def test_an_annotation_is_exactly_one_command(text: str) -> None:
    lines = github_annotations(findings_of(text)).split("\n")
    assert lines.pop() == ""
    assert len(lines) == 3  # two problems and a node
    for line in lines:
        assert line.isprintable()
        match = re.fullmatch(r"::error ([^:]*)::(.*)", line)
        assert match
        properties = [part.partition("=") for part in match[1].split(",")]
        assert {name for name, _, _ in properties} <= {"file", "line", "title"}
        assert len(properties) == len({name for name, _, _ in properties})


def test_annotations_are_escaped_as_the_runner_unescapes_them() -> None:
    report = Report(
        subject="a",
        conclusion=Conclusion.PROBLEMS,
        headline="",
        problems=(Problem("50% of a,b: c", "dir/a,b:c%.yaml", 3),),
    )
    assert github_annotations(Findings("plan", (report,))) == (
        "::error file=dir/a%2Cb%3Ac%25.yaml,line=3,title=plan%3A a::50%25 of a,b: c\n"
    )


@given(hostile)
def test_the_json_document_is_faithful_and_fits_its_schema(text: str) -> None:
    document: dict[str, Any] = json.loads(json_document(findings_of(text)))
    jsonschema.validate(document, SCHEMA)
    (report,) = document["reports"]
    assert report["headline"] == report["nodes"][0]["message"] == text
    assert report["attributes"] == {text: text}
    assert json_document(findings_of(text)).isascii()


def test_the_schema_knows_every_key_and_the_documentation_its_example() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", DOCUMENTATION, re.DOTALL)
    jsonschema.validate(json.loads(example), SCHEMA)
    for part in (SCHEMA, *SCHEMA["$defs"].values()):
        if part.get("type") == "object":
            assert sorted(part["required"]) == sorted(part["properties"])
    outcomes = SCHEMA["$defs"]["node"]["properties"]["outcome"]["enum"]
    assert outcomes == [str(outcome) for outcome in NodeOutcome]
    assert SCHEMA["properties"]["version"]["const"] == documents.VERSION


def test_the_exit_codes_are_documented() -> None:
    rows = re.findall(r"^\| (\d) \|", DOCUMENTATION, re.MULTILINE)
    assert rows == [str(int(conclusion)) for conclusion in Conclusion]


@given(hostile)
def test_junit_is_xml_with_the_right_counts(text: str) -> None:
    root = ET.fromstring(junit(findings_of(text)))
    (suite,) = root
    assert suite.attrib | {"name": ""} == {
        "name": "",
        "tests": "3",
        "failures": "2",
        "errors": "0",
    }
    assert [len(case) for case in suite] == [1, 1, 0]
    assert suite[1].attrib["name"] == escape_control(text)


def test_an_unknown_conclusion_is_an_error_in_junit() -> None:
    report = Report(subject="a", conclusion=Conclusion.UNKNOWN, headline="No credentials.")
    root = ET.fromstring(junit(Findings("plan", (report,))))
    assert root[0].attrib["errors"] == "1"
    assert root.find(".//error").attrib["message"] == "No credentials."  # type: ignore[union-attr]


@given(hostile)
def test_code_quality_entries_have_what_gitlab_needs(text: str) -> None:
    entries = json.loads(code_quality(findings_of(text)))
    assert len(entries) == 3
    for entry in entries:
        assert re.fullmatch("[0-9a-f]{64}", entry["fingerprint"])
        assert entry["location"]["lines"]["begin"] >= 1
        assert entry["severity"] == "major"


@given(hostile)
def test_text_from_elsewhere_stays_in_its_code_span_and_cell(text: str) -> None:
    span = code(text)
    inside = escape_control(text).strip()
    assert bool(span) == bool(inside)
    if span:
        assert span[0] == span[-1] == "`"
        assert not set(span[1:-1]) & set("`|\n")
    rows = [line for line in markdown(findings_of(text)).splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1


def test_a_comment_is_never_too_long() -> None:
    nodes = tuple(
        NodeReport(name=f"i-{n:017x}", outcome=NodeOutcome.REMOVE, message="x" * 300)
        for n in range(3000)
    )
    report = Report(subject="a", conclusion=Conclusion.FINE, headline="3000 nodes.", nodes=nodes)
    text = markdown(Findings("plan", (report,)))
    assert len(text) < 65_536
    assert len(text) > MARKDOWN_MAX - 1000
    assert text.endswith("The rest does not fit in a comment; see the output of the command.\n")


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("::error::x", "\\::error::x"),
        ("  ::error::x", "  \\::error::x"),
        ("a ::error::x", "a ::error::x"),
        ("AWS::CloudFormation::Stack", "AWS::CloudFormation::Stack"),
        ("a ##[error]", "a #\\#[error]"),
        ("### heading", "### heading"),
    ],
)
def test_commands_are_neutralized(text: str, harmless: str) -> None:
    assert neutralize_commands(text) == harmless


def test_a_headline_is_one_line_however_long() -> None:
    report = Report(subject="a", conclusion=Conclusion.FINE, headline="long " * 100)
    assert len(shown(Findings("plan", (report,))).splitlines()) == 1


FAILED = tuple(
    NodeReport(
        name=f"i-{number:017x}",
        outcome=NodeOutcome.FAILED,
        group="workers-of-a-long-name",
        status="SystemUpdating",
        code=code_of_node,
        message=message,
        next_step="Redeploy the same set once the nodes are free.",
    )
    for number, code_of_node, message in (
        (1, "NodeIdInUse", "Another operation is under way"),
        (2, "MovedToAnotherCluster", "The node was moved to another cluster"),
        (3, "NodeIdInUse", "Another operation is under way"),
    )
)


@pytest.mark.parametrize("width", [40, 60, 80, 120, 160, 200])
def test_a_failure_table_loses_no_word_at_any_width(width: int) -> None:
    report = Report(subject="a", conclusion=Conclusion.PROBLEMS, headline="", nodes=FAILED)
    text = shown_on_terminal(Findings("explain", (report,)), width)
    words = set(re.findall(r"[\w-]+", text))
    for node in FAILED:
        (row,) = (line for line in text.splitlines() if line.strip().startswith(f"{node.name} "))
        assert {node.name, str(node.outcome), node.code} <= set(row.split())
        assert node.name in words
        assert {node.group, node.status, node.code, str(node.outcome)} <= words
        assert set(re.findall(r"[\w-]+", f"{node.message} {node.next_step}")) <= words
    # What is true of several nodes is shown once, under a short table.
    sentence = (
        f"  {FAILED[0].name}, {FAILED[2].name}: NodeIdInUse (workers-of-a-long-name,"
        " SystemUpdating): Another operation is under way. Redeploy the same set once the nodes are"
        " free."
    )
    assert (sentence in text.splitlines()) == (width < 160)
