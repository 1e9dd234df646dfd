"""Findings as JUnit XML, which CI systems show as test results: a suite for each report."""

from xml.etree import ElementTree as ET

from hyperpod_node_removal_cli.rendering.escaping import visible
from hyperpod_node_removal_cli.rendering.issues import told
from hyperpod_node_removal_cli.report import Conclusion, Findings, Report


def junit(findings: Findings) -> str:
    """The XML document. XML has no control characters, so they are escaped as everywhere."""
    root = ET.Element("testsuites", name="hyperpod-node-removal")
    for report in findings.reports:
        root.append(_suite(findings.command, report))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(command: str, report: Report) -> ET.Element:
    name = visible(f"{command} {report.subject}")
    suite = ET.Element("testsuite", name=name)
    failures = errors = 0
    whole = ET.SubElement(suite, "testcase", classname=name, name=command)
    if report.conclusion is Conclusion.UNKNOWN:
        errors = 1
        _add(whole, "error", report.headline)
    elif report.problems:
        failures = 1
        _add(whole, "failure", "\n".join(problem.text for problem in report.problems))
    for node in report.nodes:
        case = ET.SubElement(suite, "testcase", classname=name, name=visible(node.name))
        if node.is_wrong:
            failures += 1
            _add(case, "failure", told(node), kind=node.code)
    suite.attrib |= {
        "tests": str(len(suite)),
        "failures": str(failures),
        "errors": str(errors),
    }
    return suite


def _add(case: ET.Element, tag: str, text: str, kind: str = "") -> None:
    lines = [visible(line) for line in text.split("\n")]
    element = ET.SubElement(case, tag, message=lines[0], type=visible(kind) or tag)
    element.text = "\n".join(lines)
