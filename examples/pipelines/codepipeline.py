"""The pipeline in AWS CodePipeline.

Deploy it once: `npx cdk deploy --app 'python3 codepipeline.py'`. After that, it updates itself at
each push to main. It deploys every removal file: for an unchanged one, CloudFormation does nothing.
cdk-nag checks the removals in app.py.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from aws_cdk import App, Stack
from aws_cdk.aws_codebuild import (
    BuildEnvironment,
    BuildSpec,
    EventAction,
    FilterGroup,
    LinuxBuildImage,
    Project,
    Source,
)
from aws_cdk.aws_codepipeline import PipelineType
from aws_cdk.aws_events import EventPattern
from aws_cdk.aws_events_targets import CodeBuildProject
from aws_cdk.aws_iam import PolicyStatement
from aws_cdk.aws_s3_assets import Asset
from aws_cdk.pipelines import (
    CodeBuildOptions,
    CodeBuildStep,
    CodePipeline,
    CodePipelineSource,
    ManualApprovalStep,
)
from constructs import Construct

from hyperpod_node_removal.app import NodeRemovalStage
from hyperpod_node_removal_file import SettingsError, read_removal_folder

OWNER, REPOSITORY = "team", "removals"
CONNECTION = (
    "arn:aws:codeconnections:us-west-2:111122223333:connection/01234567-89ab-cdef-0123-456789abcdef"
)
"""The account's connection to the Git host."""

CHECK = ("ci/install.sh", "ci/report.sh validate", "ci/synth.sh")
CLI_VERSION = json.loads(Path("package.json").read_text("utf-8"))["devDependencies"]["aws-cdk"]
BUILDS = BuildEnvironment(build_image=LinuxBuildImage.STANDARD_7_0)


def build_spec(commands: Iterable[str]) -> BuildSpec:
    """Return a build that runs commands and reports their JUnit files."""
    return BuildSpec.from_object(
        {
            "version": "0.2",
            "phases": {
                "install": {"runtime-versions": {"python": "3.13"}},
                "build": {"commands": list(commands)},
            },
            "reports": {"removals": {"files": ["results/**/*.xml"], "file-format": "JUNITXML"}},
        }
    )


class NodeRemovalPipeline(Stack):
    """A pipeline that plans, waits for approval, removes the nodes, and explains a failure."""

    def __init__(
        self, scope: Construct, construct_id: str, stages: Iterable[NodeRemovalStage]
    ) -> None:
        super().__init__(scope, construct_id)
        self._check_pull_requests()
        source = CodePipelineSource.connection(
            f"{OWNER}/{REPOSITORY}", "main", connection_arn=CONNECTION
        )
        synthesize = "ci/synth.sh --app 'python3 codepipeline.py'"
        pipeline = CodePipeline(
            self,
            "Pipeline",
            pipeline_type=PipelineType.V2,
            cli_version=CLI_VERSION,
            code_build_defaults=CodeBuildOptions(build_environment=BUILDS),
            synth=CodeBuildStep(
                "Synth",
                input=source,
                commands=[*CHECK, synthesize],
                partial_build_spec=build_spec(()),
            ),
        )
        plan = CodeBuildStep(
            "Plan",
            input=source,
            # For the approval. The function also refuses a set that violates a guard.
            commands=["ci/install.sh", "ci/report.sh plan || true"],
            partial_build_spec=build_spec(()),
            role_policy_statements=[
                self._read_statement(
                    "sagemaker", "cluster/*", "DescribeCluster", "ListClusterNodes"
                )
            ],
        )
        approve = ManualApprovalStep("Approve", comment="The plan is in the log of the step Plan.")
        approve.add_step_dependency(plan)
        wave = pipeline.add_wave("Removals", pre=[plan, approve])
        for stage in stages:
            wave.add_stage(stage)
        pipeline.build_pipeline()
        pipeline.pipeline.on_state_change(
            "Failed",
            event_pattern=EventPattern(detail={"state": ["FAILED"]}),
            target=CodeBuildProject(self._explainer()),
        )

    def _check_pull_requests(self) -> None:
        """Check pull requests, also from forks: the role can only write its log and report."""
        opened = FilterGroup.in_event_of(
            EventAction.PULL_REQUEST_CREATED, EventAction.PULL_REQUEST_UPDATED
        )
        Project(
            self,
            "CheckPullRequest",
            source=Source.git_hub(
                owner=OWNER,
                repo=REPOSITORY,
                webhook_filters=[opened.and_base_branch_is("main")],
            ),
            environment=BUILDS,
            build_spec=build_spec(CHECK),
        )

    def _explainer(self) -> Project:
        """Return the build that explains the last operation of each stack."""
        others = [".git", ".venv", "cdk.out", "node_modules", "results"]
        files = Asset(self, "Files", path=".", exclude=others)
        project = Project(
            self,
            "Explain",
            source=Source.s3(bucket=files.bucket, path=files.s3_object_key),
            environment=BUILDS,
            build_spec=build_spec(("ci/install.sh", "ci/explain-all.sh")),
        )
        stacks, logs = "stack/hyperpod-node-removal-*", "log-group:hyperpod-node-removal-*"
        for statement in (
            self._read_statement(
                "cloudformation",
                stacks,
                "DescribeStacks",
                "DescribeStackEvents",
                "DescribeStackResources",
            ),
            self._read_statement("logs", logs, "FilterLogEvents"),
        ):
            project.add_to_role_policy(statement)
        return project

    def _read_statement(self, service: str, resource: str, *operations: str) -> PolicyStatement:
        place = f"arn:{self.partition}:{service}:{self.region}:{self.account}"
        return PolicyStatement(
            actions=[f"{service}:{operation}" for operation in operations],
            resources=[f"{place}:{resource}"],
        )


def main() -> None:
    """Synthesize the pipeline, or print the errors in the removal files."""
    app = App()
    folder = Path("removals")
    folder.mkdir(exist_ok=True)  # Git keeps no empty folder
    try:
        removals = read_removal_folder(folder, "removals")
    except SettingsError as error:
        sys.exit("\n".join(f"error: {problem}" for problem in error.every))
    stages = [NodeRemovalStage(app, one.stack_name, removal=one) for one in removals]
    NodeRemovalPipeline(app, "hyperpod-node-removal-pipeline", stages)
    app.synth()


main()
