"""What is deployed: bytes of code, resources, permissions, and the findings of cdk-nag."""

import io
import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from aws_cdk import App, Stack, Validations
from cdk_nag import AwsSolutionsChecks

from bench.reporting import Chapter, Verdict, table
from hyperpod_node_removal import NodeRemoval

GOAL: Final = 110_000
"""Bytes of the zipped asset, which is the source as it was reviewed (ADR 15)."""


@dataclass(frozen=True)
class Deployed:
    """A stack with one removal."""

    zipped_bytes: int
    files: int
    resources: int
    functions: int
    statements: int
    """In policies of roles; a managed policy counts as one."""
    wildcards: int
    """Statements that allow an action on `*`, managed policies included."""
    findings: int
    """Findings of cdk-nag's AWS Solutions rules that are not acknowledged."""


def zipped(folder: Path) -> tuple[int, int]:
    """Return the bytes and files of a folder as the CDK CLI zips it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(folder))
        count = len(archive.infolist())
    return len(buffer.getvalue()), count


def measure() -> Deployed:
    """Synthesize and count."""
    with tempfile.TemporaryDirectory() as folder:
        app = App(outdir=folder, analytics_reporting=False)
        Validations.of(app).add_plugins(AwsSolutionsChecks(app))
        NodeRemoval(
            Stack(app, "Stack"),
            "Removal",
            cluster_arn="arn:aws:sagemaker:us-east-1:111122223333:cluster/a1b2c3d4e5f6",
            node_ids=["i-0123456789abcdef0", "i-0123456789abcdef1"],
        )
        with suppress(RuntimeError):  # raised for findings, after the report is written
            app.synth()
        found = json.loads(Path(folder, "validation-report.json").read_text(encoding="utf-8"))
        template = json.loads(Path(folder, "Stack.template.json").read_text(encoding="utf-8"))
        size, files = zipped(next(path for path in Path(folder).glob("asset.*") if path.is_dir()))
    resources = [r for r in template["Resources"].values() if r["Type"] != "AWS::CDK::Metadata"]
    allowed = list(_resources_of_statements(resources))
    return Deployed(
        zipped_bytes=size,
        files=files,
        resources=len(resources),
        functions=sum(r["Type"] == "AWS::Lambda::Function" for r in resources),
        statements=len(allowed),
        wildcards=allowed.count("*"),
        findings=sum(len(plugin["violations"]) for plugin in found["pluginReports"]),
    )


def _resources_of_statements(resources: list[dict[str, Any]]) -> Iterator[Any]:
    for resource in resources:
        properties = resource.get("Properties", {})
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", ())]
        if resource["Type"] in {"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"}:
            documents.append(properties["PolicyDocument"])
        for document in documents:
            yield from (statement["Resource"] for statement in document["Statement"])
        # AWSLambdaBasicExecutionRole allows logs:* actions on everything
        yield from ("*" for _ in properties.get("ManagedPolicyArns", ()))


def chapter(deployed: Deployed) -> Chapter:
    """Return section 3."""
    counts = asdict(deployed)
    return Chapter(
        title="Package",
        what=(
            "A stack with one removal, synthesized, with code zipped as the CDK CLI does, and cdk-nag's"
            " AWS Solutions rules. Asserted by `tests/bench/test_package.py`."
        ),
        verdicts=[
            Verdict(
                f"asset of at most {GOAL / 1000:.0f} KB zipped",
                deployed.zipped_bytes <= GOAL,
                f"{deployed.zipped_bytes:,} bytes in {deployed.files} files",
            )
        ],
        tables=[table([name.replace("_", " ") for name in counts], [list(counts.values())])],
        rows=[counts],
    )
