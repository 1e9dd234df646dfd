"""What is deployed: bytes of code, resources, permissions, and what cdk-nag says of them."""

import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from aws_cdk import App, Stack, Validations
from cdk_nag import AwsSolutionsChecks

from bench.peers.stacks import STACKS
from bench.telling import Chapter, Verdict, table
from hyperpod_node_removal._asset import staged_code

GOAL: Final = 100_000
"""Bytes of the zipped asset, which is the source as it was reviewed (ADR 15)."""


@dataclass(frozen=True)
class Deployed:
    """One peer's stack."""

    peer: str
    zipped_bytes: int
    """Of all assets of code."""
    files: int
    resources: int
    functions: int
    statements: int
    """In policies of roles; a managed policy counts as one."""
    wildcards: int
    """Statements that allow an action on `*`, managed policies included."""
    findings: int
    """Of cdk-nag's AWS Solutions rules, that nobody has acknowledged."""


def zipped(folder: Path) -> tuple[int, int]:
    """Bytes and files of a folder as the CDK CLI zips it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(folder))
        count = len(archive.infolist())
    return len(buffer.getvalue()), count


def measure(stacks: Mapping[str, Callable[[Stack], None]] = STACKS) -> list[Deployed]:
    """Synthesize each stack and count."""
    return [_deployed(name, make) for name, make in stacks.items()]


def _deployed(peer: str, make: Callable[[Stack], None]) -> Deployed:
    with tempfile.TemporaryDirectory() as folder:
        app = App(outdir=folder, analytics_reporting=False)
        Validations.of(app).add_plugins(AwsSolutionsChecks(app))
        stack = Stack(app, "Stack")
        make(stack)
        with suppress(RuntimeError):  # findings that nobody has acknowledged; the report is there
            app.synth()
        found = json.loads(Path(folder, "validation-report.json").read_text(encoding="utf-8"))
        template = json.loads(Path(folder, "Stack.template.json").read_text(encoding="utf-8"))
        assets = [zipped(path) for path in Path(folder).glob("asset.*") if path.is_dir()]
    resources = [r for r in template["Resources"].values() if r["Type"] != "AWS::CDK::Metadata"]
    statements = list(_statements(resources))
    return Deployed(
        peer=peer,
        zipped_bytes=sum(size for size, _ in assets),
        files=sum(count for _, count in assets),
        resources=len(resources),
        functions=sum(r["Type"] == "AWS::Lambda::Function" for r in resources),
        statements=len(statements),
        wildcards=sum(resource == "*" for resource in statements),
        findings=sum(
            len(violation["violatingResources"])
            if "violatingResources" in violation
            else len(violation.get("violatingConstructs", [None]))
            for plugin in found["pluginReports"]
            for violation in plugin["violations"]
        ),
    )


def _statements(resources: list[dict[str, Any]]) -> Iterator[Any]:
    """The `Resource` of each statement."""
    for resource in resources:
        properties = resource.get("Properties", {})
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", ())]
        if resource["Type"] in {"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"}:
            documents.append(properties["PolicyDocument"])
        for document in documents:
            for statement in document["Statement"]:
                yield statement["Resource"]
        for _ in properties.get("ManagedPolicyArns", ()):
            yield "*"  # AWSLambdaBasicExecutionRole allows logs:* actions on everything


def asset() -> tuple[int, int]:
    """Bytes and files of the product's function."""
    return zipped(staged_code())


def chapter(deployed: list[Deployed]) -> Chapter:
    """Section 4."""
    ours = deployed[0]
    return Chapter(
        title="Package",
        what=(
            "A stack with one removal of each, synthesized, with code zipped as the CDK CLI does."
            " A managed policy counts as one statement on everything. cdk-nag's findings are those of the"
            " AWS Solutions rules that nobody has acknowledged."
        ),
        verdicts=[
            Verdict(
                f"asset of at most {GOAL / 1000:.0f} KB zipped",
                ours.zipped_bytes <= GOAL,
                f"{ours.zipped_bytes:,} bytes in {ours.files} files",
            )
        ],
        tables=[
            table(
                [
                    "peer",
                    "zipped bytes",
                    "files",
                    "resources",
                    "functions",
                    "statements",
                    "of these on `*`",
                    "nag findings",
                ],
                (
                    [
                        row.peer,
                        f"{row.zipped_bytes:,}",
                        row.files,
                        row.resources,
                        row.functions,
                        row.statements,
                        row.wildcards,
                        row.findings,
                    ]
                    for row in deployed
                ),
            )
        ],
        data=[asdict(row) for row in deployed],
    )
