"""The templates of the drains are those of the constructs, and anybody can deploy them."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Template
from awscli.customizations.cloudformation.yamlhelper import yaml_parse

from release.drain_templates import drain_texts
from tests.construct.test_drain import eks_drain, marker, slurm_drain
from tests.release.linting import cfn_lint

CONSTRUCTS = {"slurm-drain": slurm_drain, "eks-drain": eks_drain, "backup-marker": marker}


@pytest.fixture(scope="module")
def texts() -> Mapping[str, str]:
    return drain_texts()


def test_cfn_lint_finds_nothing(texts: Mapping[str, str], tmp_path: Path) -> None:
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert cfn_lint(*(tmp_path / name for name in texts)) == ""


@pytest.mark.parametrize("kind", CONSTRUCTS)
def test_a_template_has_the_resources_of_its_construct(texts: Mapping[str, str], kind: str) -> None:
    stack = Stack(App(), "Stack")
    CONSTRUCTS[kind](stack)
    made = Template.from_stack(stack).to_json()["Resources"].values()
    template = yaml_parse(texts[f"hyperpod-node-removal-{kind}.yaml"])["Resources"].values()
    types = Counter(one["Type"] for one in made)
    del types["AWS::EC2::SecurityGroup"]  # that of a template is a parameter
    assert types == Counter(one["Type"] for one in template)
