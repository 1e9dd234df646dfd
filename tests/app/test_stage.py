"""The stage of a pipeline, in a synthesized pipeline of CDK Pipelines."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk.assertions import Template
from aws_cdk.aws_codecommit import Repository
from aws_cdk.pipelines import CodePipeline, CodePipelineSource, ShellStep

from hyperpod_node_removal.app import NodeRemovalStage
from hyperpod_node_removal_contract import RESOURCE_TYPE
from hyperpod_node_removal_file import Settings, SettingsError

pytestmark = pytest.mark.slow

HOME: Final = Environment(account="111122223333", region="us-west-2")
NODE_ID: Final = "i-0123456789abcdef0"


class Deployed:
    """A pipeline with a stage from a file, and one from settings in a region of its own."""

    def __init__(self, folder: Path) -> None:
        file = folder / "ml-cluster.yaml"
        file.write_text(f"cluster: ml-cluster\nnode_ids: [{NODE_ID}]\ntimeout: 900\n")
        app = App(outdir=str(folder / "cdk.out"), analytics_reporting=False)
        stack = Stack(app, "Pipeline", env=HOME)
        source = CodePipelineSource.code_commit(
            Repository.from_repository_name(stack, "R", "r"), "main"
        )
        synth = ShellStep("Synth", input=source, commands=["npx cdk synth"])
        pipeline = CodePipeline(stack, "Pipeline", synth=synth)
        wave = pipeline.add_wave("Removals")
        self.stage = NodeRemovalStage(app, "ml-cluster", removal=file)
        wave.add_stage(self.stage)
        settings = Settings(cluster="evaluation", stack_name="hyperpod-node-removal-evaluation")
        tokyo = Environment(account=HOME.account, region="ap-northeast-1")
        wave.add_stage(NodeRemovalStage(app, "evaluation", removal=settings, env=tokyo))
        pipeline.build_pipeline()
        self.directory = Path(app.synth().directory)
        self.template = Template.from_stack(stack)

    def removals(self) -> list[dict[str, Any]]:
        """The CloudFormation actions of the wave that change a stack."""
        (pipeline,) = self.template.find_resources("AWS::CodePipeline::Pipeline").values()
        (wave,) = (s for s in pipeline["Properties"]["Stages"] if s["Name"] == "Removals")
        return [
            action
            for action in wave["Actions"]
            if action["ActionTypeId"]["Provider"] == "CloudFormation"
            and action["Configuration"]["ActionMode"] == "CHANGE_SET_REPLACE"
        ]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    return Deployed(tmp_path_factory.mktemp("stage"))


def test_the_stack_has_the_same_name_as_without_a_pipeline(deployed: Deployed) -> None:
    changed = {a["Configuration"]["StackName"]: a.get("Region") for a in deployed.removals()}
    assert changed == {
        "hyperpod-node-removal-ml-cluster": None,  # the pipeline's
        "hyperpod-node-removal-evaluation": "ap-northeast-1",
    }
    assert deployed.stage.stack.stack_name in changed


def test_the_pipeline_deploys_the_set_of_the_file(deployed: Deployed) -> None:
    paths = [action["Configuration"]["TemplatePath"] for action in deployed.removals()]
    (path,) = (path.partition("::")[2] for path in paths if "mlcluster" in path)
    template = json.loads((deployed.directory / path).read_text())
    (removal,) = (r for r in template["Resources"].values() if r["Type"] == RESOURCE_TYPE)
    assert removal["Properties"]["ClusterName"] == "ml-cluster"
    assert removal["Properties"]["NodeIds"] == [NODE_ID]
    assert removal["Properties"]["ServiceTimeout"] == "900"


def test_a_mistake_in_the_file_names_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "set.yaml"
    file.write_text("cluster: ml-cluster\nnode_ids: [i-1]\n")
    with pytest.raises(SettingsError) as caught:
        NodeRemovalStage(App(), "ml-cluster", removal=str(file))
    assert str(caught.value).startswith(f"{file}, line 2: node_ids: 'i-1' is not an instance id")
