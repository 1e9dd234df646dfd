"""Who may take the roles of the pipelines, and what they may do."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import pytest
import yaml
from ministack.core.iam_evaluator import EvalContext, evaluate_trust_policy

from sandbox.aws import Sandbox
from tests.docs.code_blocks import DOCS, code_blocks
from tests.docs.policy import Policy, as_list
from tests.pipelines.team import EXAMPLE

ROLES: Final = EXAMPLE / "roles"
HOSTS: Final = {
    "github": ("token.actions.githubusercontent.com", "github.example.com/_services/token"),
    "gitlab": ("gitlab.com", "gitlab.example.com"),
}
"""Issuers of tokens: the public one of each platform, and one of a company's own."""
PARAMETERS: Final = {
    "Repository": "team/removals",
    "Project": "team/removals",
    "Environment": "removals",
    "Branch": "main",
    "Qualifier": "hnb659fds",
    "AWS::Partition": "aws",
    "AWS::Region": "us-west-2",
    "AWS::AccountId": "111122223333",
}


def resolved(value: Any, parameters: Mapping[str, str]) -> Any:  # noqa: PLR0911 - a case each
    """A part of a template with its functions evaluated."""
    match value:
        case list():
            return [resolved(item, parameters) for item in value]
        case {"Ref": name}:
            return parameters[name]
        case {"Fn::Select": [index, values]}:
            return resolved(values, parameters)[index]
        case {"Fn::Split": [separator, text]}:
            return resolved(text, parameters).split(separator)
        case {"Fn::Sub": [text, more]}:
            return resolved({"Fn::Sub": text}, {**parameters, **resolved(more, parameters)})
        case {"Fn::Sub": text}:
            for name, given in parameters.items():
                text = text.replace(f"${{{name}}}", given)
            assert "${" not in text
            return text
        case dict():
            return {key: resolved(item, parameters) for key, item in value.items()}
    return value


class _Template(yaml.SafeLoader):
    """YAML with the short forms of CloudFormation's functions."""


def _function(loader: _Template, tag: str, node: yaml.Node) -> dict[str, Any]:
    """`!Sub text` is short for `Fn::Sub: text`."""
    name = tag if tag == "Ref" else f"Fn::{tag}"
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.ScalarNode)
    return {name: str(loader.construct_scalar(node))}


_Template.add_multi_constructor("!", _function)


class Roles:
    """The template for one platform, with its parameters filled in."""

    def __init__(self, platform: str, host: str = "") -> None:
        self.host = host or HOSTS[platform][0]
        self.provider = f"arn:aws:iam::111122223333:oidc-provider/{self.host}"
        text = (ROLES / f"{platform}.yaml").read_text(encoding="utf-8")
        # the loader is a SafeLoader
        template = yaml.load(text, Loader=_Template)
        self.provider_form: str = template["Parameters"]["ProviderArn"]["AllowedPattern"]
        resources = template["Resources"]
        parameters = PARAMETERS | {"ProviderArn": self.provider}
        self._roles = {
            name: resolved(resource["Properties"], parameters)
            for name, resource in resources.items()
        }
        assert set(self._roles) == {"ReadRole", "DeployRole"}

    def lets_in(self, role: str, sub: str, aud: str = "sts.amazonaws.com") -> bool:
        """Whether a token with these claims gets the role."""
        context = EvalContext(
            principal_arn=self.provider,
            principal_type="WebIdentityUser",
            principal_account="111122223333",
            action="sts:AssumeRoleWithWebIdentity",
            resource_arn=f"arn:aws:iam::111122223333:role/{role}",
            region="us-west-2",
            service_context={f"{self.host}:sub": sub, f"{self.host}:aud": aud},
        )
        trust = json.loads(self._roles[role]["AssumeRolePolicyDocument"])
        return bool(evaluate_trust_policy(trust, self.provider, context))

    def policy(self, role: str) -> Policy:
        (policy,) = self._roles[role]["Policies"]
        return Policy(tuple(policy["PolicyDocument"]["Statement"]))

    def trust_conditions(self, role: str) -> dict[str, dict[str, Any]]:
        (statement,) = json.loads(self._roles[role]["AssumeRolePolicyDocument"])["Statement"]
        conditions = statement["Condition"]
        assert isinstance(conditions, dict)
        return conditions


@pytest.fixture(params=[(name, host) for name, hosts in HOSTS.items() for host in hosts], ids=str)
def roles(request: pytest.FixtureRequest) -> Roles:
    return Roles(*request.param)


GITHUB_PULL_REQUEST = "repo:team/removals:pull_request"
GITHUB_DEPLOYMENT = "repo:team/removals:environment:removals"
GITLAB_BRANCH = "project_path:team/removals:ref_type:branch:ref:change"
GITLAB_MAIN = "project_path:team/removals:ref_type:branch:ref:main"
STRANGERS = [
    "repo:team/removals:ref:refs/heads/main",
    "repo:team/removals:environment:other",
    "repo:team/removals-2:pull_request",
    "repo:other/removals:environment:removals",
    "repo:team/removals:pull_request:environment:removals",
    "project_path:team/removals-2:ref_type:branch:ref:main",
    "project_path:fork/removals:ref_type:branch:ref:main",
    "project_path:team/removals:ref_type:tag:ref:main",
    "",
]


@pytest.mark.parametrize("host", HOSTS["github"])
def test_pull_requests_read_and_deployments_deploy(host: str) -> None:
    roles = Roles("github", host)
    assert roles.lets_in("ReadRole", GITHUB_PULL_REQUEST)
    assert roles.lets_in("ReadRole", GITHUB_DEPLOYMENT)
    assert roles.lets_in("DeployRole", GITHUB_DEPLOYMENT)
    assert not roles.lets_in("DeployRole", GITHUB_PULL_REQUEST)


@pytest.mark.parametrize("host", HOSTS["gitlab"])
def test_branches_read_and_the_protected_one_deploys(host: str) -> None:
    roles = Roles("gitlab", host)
    assert roles.lets_in("ReadRole", GITLAB_BRANCH)
    assert roles.lets_in("ReadRole", GITLAB_MAIN)
    assert roles.lets_in("DeployRole", GITLAB_MAIN)
    assert not roles.lets_in("DeployRole", GITLAB_BRANCH)


@pytest.mark.parametrize("role", ["ReadRole", "DeployRole"])
@pytest.mark.parametrize("sub", STRANGERS)
def test_nobody_else_gets_in(roles: Roles, role: str, sub: str) -> None:
    assert not roles.lets_in(role, sub)


@pytest.mark.parametrize("role", ["ReadRole", "DeployRole"])
def test_a_token_for_another_audience_does_not_count(roles: Roles, role: str) -> None:
    for sub in (GITHUB_DEPLOYMENT, GITLAB_MAIN):
        assert not roles.lets_in(role, sub, aud="https://elsewhere.example")


@pytest.mark.parametrize("platform", sorted(HOSTS))
@pytest.mark.parametrize("host", ['a.example", "x": "', "a.example/*", "a.example${Host}", ""])
def test_what_is_no_provider_is_refused(platform: str, host: str) -> None:
    """The ARN becomes part of the text of the trust policy."""
    form = Roles(platform).provider_form
    assert re.fullmatch(form, f"arn:aws:iam::111122223333:oidc-provider/{host}") is None
    assert all(
        re.fullmatch(form, f"arn:aws:iam::111122223333:oidc-provider/{good}")
        for good in HOSTS[platform]
    )


def test_who_deploys_is_named_exactly(roles: Roles) -> None:
    assert set(roles.trust_conditions("DeployRole")) == {"StringEquals"}


def test_the_role_that_reads_changes_nothing(roles: Roles) -> None:
    policy = roles.policy("ReadRole")
    assert policy.actions == {
        "cloudformation:DescribeStackEvents",
        "cloudformation:DescribeStackResources",
        "cloudformation:DescribeStacks",
        "logs:FilterLogEvents",
        "sagemaker:DescribeCluster",
        "sagemaker:ListClusterNodes",
    }
    assert all(":us-west-2:111122223333:" in resource for _, resource in policy.resources)


def test_the_role_that_deploys_is_that_of_the_documentation(roles: Roles) -> None:
    shown = Policy.of_file("pipeline-role.json")
    (statement,) = roles.policy("DeployRole").statements
    assert as_list(statement["Action"]) == ["sts:AssumeRole"]
    resources = [resource.replace("hnb659fds", "hpnr") for resource in statement["Resource"]]
    assert resources == [resource for _, resource in shown.resources]


def test_the_command_of_the_page_makes_the_roles(sandbox: Sandbox) -> None:
    (command,) = (
        command
        for block in code_blocks(DOCS / "pipelines.md", "console")
        for command in block.commands
        if "roles/github.yaml" in command
    )
    sandbox.aws(*command[1:], cwd=EXAMPLE)
    outputs = sandbox.outputs("removal-pipeline-roles")
    assert set(outputs) == {"ReadRoleArn", "DeployRoleArn"}
    name = outputs["DeployRoleArn"].rpartition("/")[2]
    shown = json.loads(sandbox.aws("iam", "get-role", "--role-name", name, cwd=EXAMPLE).stdout)
    (statement,) = shown["Role"]["AssumeRolePolicyDocument"]["Statement"]
    host = HOSTS["github"][0]
    assert statement["Condition"]["StringEquals"] == {
        f"{host}:aud": "sts.amazonaws.com",
        f"{host}:sub": "repo:team/removals:environment:removals",
    }
