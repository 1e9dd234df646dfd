"""The example for AWS CodePipeline: its template, and the commands of its builds."""

import json
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from sandbox.stacks import read_assembly
from tests.docs.policy import as_list
from tests.pipelines.conftest import new_cluster
from tests.pipelines.team import ROLE, Ran, Team, path, removals

INSTALL = "ci/install.sh"


@dataclass
class Pipeline:
    """The synthesized pipeline of a repository with two removal files."""

    team: Team
    cluster: Cluster
    resources: dict[str, dict[str, Any]]

    def project(self, name: str) -> dict[str, Any]:
        """Return the properties of a CodeBuild project, by a part of its logical id."""
        (project,) = (
            resource["Properties"]
            for logical_id, resource in self.resources.items()
            if resource["Type"] == "AWS::CodeBuild::Project" and name in logical_id
        )
        assert isinstance(project, dict)
        return project

    def build(self, name: str) -> dict[str, Any]:
        """Return the build specification of a project."""
        return dict(json.loads(self.project(name)["Source"]["BuildSpec"]))

    def commands(self, name: str) -> list[str]:
        """Return the commands of a project after the installation."""
        install, *commands = self.build(name)["phases"]["build"]["commands"]
        assert install == INSTALL
        return list(commands)

    def run(self, name: str) -> Ran:
        """Run the commands of a project with its role."""
        return self.team.run("\n".join(self.commands(name)), **ROLE)

    def actions(self, policy: str) -> set[str]:
        """Return the actions that a role's policy allows, by a part of its logical id."""
        return {
            action
            for logical_id, resource in self.resources.items()
            if resource["Type"] == "AWS::IAM::Policy" and policy in logical_id
            for statement in resource["Properties"]["PolicyDocument"]["Statement"]
            for action in as_list(statement["Action"])
        }


@pytest.fixture(scope="module")
def pipeline(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    team = Team(sandbox, tmp_path_factory.mktemp("codepipeline"))
    cluster = new_cluster(sandbox)
    nodes = cluster.node_ids("workers")[:2]
    cluster.refuse(nodes[0], "NodeIdInUse", "Another operation is under way")
    team.commit(
        {
            path(cluster): removals(cluster, nodes, "retry_for: 0\n"),
            "removals/evaluation.yaml": "cluster: evaluation\n",
        }
    )
    # the commands of the synth step, which are compared with the template below
    commands = [
        "ci/report.sh validate",
        "ci/synth.sh",
        "ci/synth.sh --app 'python3 codepipeline.py'",
    ]
    synth = team.run("\n".join(commands))
    assert synth.code == 0, synth.log
    template = team.folder / "cdk.out" / "hyperpod-node-removal-pipeline.template.json"
    resources = json.loads(template.read_text(encoding="utf-8"))["Resources"]
    pipeline = Pipeline(team, cluster, resources)
    assert pipeline.commands("Synth") == commands
    return pipeline


def stages(pipeline: Pipeline) -> dict[str, list[dict[str, Any]]]:
    resources = pipeline.resources.values()
    (found,) = (one for one in resources if one["Type"] == "AWS::CodePipeline::Pipeline")
    return {
        stage["Name"]: sorted(stage["Actions"], key=lambda action: int(action["RunOrder"]))
        for stage in found["Properties"]["Stages"]
    }


def test_manual_approval_is_after_the_plan_and_before_any_removal(pipeline: Pipeline) -> None:
    plan, approve, *removals = stages(pipeline)["Removals"]
    assert (plan["Name"], approve["ActionTypeId"]["Category"]) == ("Plan", "Approval")
    orders = [int(action["RunOrder"]) for action in (plan, approve, *removals)]
    assert orders[0] < orders[1] < min(orders[2:])
    names = {action["Configuration"]["StackName"] for action in removals}
    clusters = (pipeline.cluster.name, "evaluation")
    assert names == {f"hyperpod-node-removal-{cluster}" for cluster in clusters}


def test_the_pipeline_stores_no_access_key(pipeline: Pipeline) -> None:
    ((source,),) = (stages(pipeline)["Source"],)
    assert source["ActionTypeId"]["Provider"] == "CodeStarSourceConnection"
    types = {resource["Type"] for resource in pipeline.resources.values()}
    assert not {"AWS::IAM::User", "AWS::IAM::AccessKey", "AWS::SecretsManager::Secret"} & types


def test_the_roles_of_builds_can_only_read(pipeline: Pipeline) -> None:
    reports = {"codebuild:CreateReport", "codebuild:CreateReportGroup", "codebuild:UpdateReport"}
    own = reports | {
        "codebuild:BatchPutCodeCoverages",
        "codebuild:BatchPutTestCases",
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    }
    files = {"s3:GetBucket*", "s3:GetObject*", "s3:List*"}
    assert pipeline.actions("CheckPullRequest") == own
    assert pipeline.actions("RemovalsPlan") - own - files == {
        "sagemaker:DescribeCluster",
        "sagemaker:ListClusterNodes",
    }
    assert pipeline.actions("ExplainRole") - own - files == {
        "cloudformation:DescribeStackEvents",
        "cloudformation:DescribeStackResources",
        "cloudformation:DescribeStacks",
        "logs:FilterLogEvents",
    }


def test_pull_requests_are_validated_and_synthesized(pipeline: Pipeline) -> None:
    validate = "ci/report.sh validate"
    assert pipeline.commands("CheckPullRequest") == [validate, "ci/synth.sh"]
    ((events, base),) = pipeline.project("CheckPullRequest")["Triggers"]["FilterGroups"]
    assert events["Pattern"] == "PULL_REQUEST_CREATED, PULL_REQUEST_UPDATED"
    assert base == {"Type": "BASE_REF", "Pattern": "refs/heads/main"}


def test_the_pipeline_uses_the_cdk_cli_of_the_lock_file(pipeline: Pipeline) -> None:
    package = json.loads((pipeline.team.folder / "package.json").read_text(encoding="utf-8"))
    install = pipeline.build("SelfMutation")["phases"]["install"]["commands"]
    assert install == [f"npm install -g aws-cdk@{package['devDependencies']['aws-cdk']}"]


def test_the_plan_lists_the_nodes(pipeline: Pipeline) -> None:
    planned = pipeline.run("RemovalsPlan")
    assert planned.code == 0, planned.log
    for node in pipeline.cluster.node_ids("workers")[:2]:
        assert node in planned.log


def test_a_failed_deployment_of_the_pipeline_is_explained(pipeline: Pipeline) -> None:
    """CodePipeline deploys the stage's template. If that fails, a rule starts the build Explain."""
    name = f"hyperpod-node-removal-{pipeline.cluster.name}"
    assembly = pipeline.team.folder / "cdk.out" / f"assembly-{name}"
    (template,) = assembly.glob("*.template.json")
    stack = read_assembly(assembly, template.name.removesuffix(".template.json"))
    deployed = pipeline.team.sandbox.deploy(name, stack.template, assets=stack.assets)
    assert deployed.status == "ROLLBACK_COMPLETE"
    (rule,) = (r for r in pipeline.resources.values() if r["Type"] == "AWS::Events::Rule")
    assert rule["Properties"]["EventPattern"]["detail"]["state"] == ["FAILED"]

    explained = pipeline.run("Explain")
    assert explained.code == 1
    refused = pipeline.cluster.node_ids("workers")[0]
    assert f"1 of 2 nodes not removed from {pipeline.cluster.name}" in explained.log
    results = pipeline.team.folder / "results" / pipeline.cluster.name
    junit = ET.parse(results / "explain.xml").getroot()
    failures = [case.get("name") for case in junit.findall(".//testcase[failure]")]
    assert failures == [refused]
    report = pipeline.build("Explain")["reports"]["removals"]
    assert report == {"files": ["results/**/*.xml"], "file-format": "JUNITXML"}
    assert (results / "explain.xml") in set(pipeline.team.folder.glob(report["files"][0]))
