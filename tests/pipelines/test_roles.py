"""The trust policies and permissions of the pipelines' roles."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

import pytest
from awscli.customizations.cloudformation.yamlhelper import yaml_parse
from ministack.core.iam_evaluator import EvalContext, evaluate_trust_policy

from sandbox.aws import Sandbox
from tests.aws_cli import run_aws
from tests.docs.code_blocks import DOCS, commands
from tests.docs.policy import Policy, as_list
from tests.pipelines.team import EXAMPLE

HOSTS: Final = {
    "github": ("token.actions.githubusercontent.com", "github.example.com/_services/token"),
    "gitlab": ("gitlab.com", "gitlab.example.com"),
}
"""Token issuers: the public one of each platform, and one of a self-managed server."""
PROVIDER: Final = "arn:aws:iam::111122223333:oidc-provider/"
ROLES: Final = ("ReadRole", "DeployRole")


def template(platform: str) -> Any:
    return yaml_parse((EXAMPLE / "roles" / f"{platform}.yaml").read_text(encoding="utf-8"))


class Roles:
    """The roles of a platform, as CloudFormation creates them."""

    def __init__(self, sandbox: Sandbox, platform: str, host: str, stack: str) -> None:
        self.platform, self.host = platform, host
        outputs, self._iam = sandbox.outputs(stack), sandbox.client("iam")
        assert set(outputs) == {f"{role}Arn" for role in ROLES}
        self._names = {role: outputs[f"{role}Arn"].rpartition("/")[2] for role in ROLES}

    def trust(self, role: str) -> Mapping[str, Any]:
        shown = self._iam.get_role(RoleName=self._names[role])["Role"]
        document: dict[str, Any] = shown["AssumeRolePolicyDocument"]
        return document

    def can_be_assumed(self, role: str, sub: str, aud: str = "sts.amazonaws.com") -> bool:
        """Return whether a token with these claims can assume the role."""
        provider = PROVIDER + self.host
        context = EvalContext(
            principal_arn=provider,
            principal_type="WebIdentityUser",
            principal_account="111122223333",
            action="sts:AssumeRoleWithWebIdentity",
            resource_arn=f"arn:aws:iam::111122223333:role/{role}",
            region="us-east-1",
            service_context={f"{self.host}:sub": sub, f"{self.host}:aud": aud},
        )
        return bool(evaluate_trust_policy(self.trust(role), provider, context))

    def policy(self, role: str) -> Policy:
        name = self._names[role]
        (policy,) = self._iam.list_role_policies(RoleName=name)["PolicyNames"]
        shown = self._iam.get_role_policy(RoleName=name, PolicyName=policy)
        return Policy(tuple(shown["PolicyDocument"]["Statement"]))


@pytest.fixture(
    scope="module",
    params=[(name, host) for name, hosts in HOSTS.items() for host in hosts],
    ids=str,
)
def roles(request: pytest.FixtureRequest, sandbox: Sandbox) -> Roles:
    (platform, host), stack = request.param, f"roles-{uuid4().hex[:8]}"
    repository = {"github": "Repository", "gitlab": "Project"}[platform]
    parameters = {repository: "team/removals", "ProviderArn": PROVIDER + host}
    done = sandbox.deploy(stack, template(platform), parameters=parameters)
    assert done.status == "CREATE_COMPLETE", done.events
    return Roles(sandbox, platform, host, stack)


PULL_REQUEST: Final = {
    "github": "repo:team/removals:pull_request",
    "gitlab": "project_path:team/removals:ref_type:branch:ref:change",
}
DEPLOYMENT: Final = {
    "github": "repo:team/removals:environment:removals",
    "gitlab": "project_path:team/removals:ref_type:branch:ref:main",
}
OTHER_SUBJECTS: Final = [
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


def test_pull_requests_get_the_read_role_and_deployments_get_both(roles: Roles) -> None:
    pull_request, deployment = PULL_REQUEST[roles.platform], DEPLOYMENT[roles.platform]
    assert roles.can_be_assumed("ReadRole", pull_request)
    assert roles.can_be_assumed("ReadRole", deployment)
    assert roles.can_be_assumed("DeployRole", deployment)
    assert not roles.can_be_assumed("DeployRole", pull_request)


@pytest.mark.parametrize("role", ROLES)
def test_other_tokens_cannot_assume_a_role(roles: Roles, role: str) -> None:
    assert [sub for sub in OTHER_SUBJECTS if roles.can_be_assumed(role, sub)] == []
    elsewhere = "https://elsewhere.example"
    assert not roles.can_be_assumed(role, DEPLOYMENT[roles.platform], aud=elsewhere)


@pytest.mark.parametrize("platform", sorted(HOSTS))
@pytest.mark.parametrize("host", ['a.example", "x": "', "a.example/*", "a.example${Host}", ""])
def test_an_invalid_provider_arn_is_rejected(platform: str, host: str) -> None:
    """The ARN is inserted into the text of the trust policy."""
    form = template(platform)["Parameters"]["ProviderArn"]["AllowedPattern"]
    assert re.fullmatch(form, PROVIDER + host) is None
    assert all(re.fullmatch(form, PROVIDER + good) for good in HOSTS[platform])


def test_the_deploy_role_trusts_one_exact_subject(roles: Roles) -> None:
    (statement,) = roles.trust("DeployRole")["Statement"]
    assert statement["Condition"] == {
        "StringEquals": {
            f"{roles.host}:aud": "sts.amazonaws.com",
            f"{roles.host}:sub": DEPLOYMENT[roles.platform],
        }
    }


def test_the_read_role_can_only_read(roles: Roles) -> None:
    policy = roles.policy("ReadRole")
    assert policy.actions == {
        "cloudformation:DescribeStackEvents",
        "cloudformation:DescribeStackResources",
        "cloudformation:DescribeStacks",
        "logs:FilterLogEvents",
        "sagemaker:DescribeCluster",
        "sagemaker:ListClusterNodes",
    }
    assert all(":us-east-1:000000000000:" in resource for _, resource in policy.resources)


def test_the_deploy_role_has_the_documented_policy(roles: Roles) -> None:
    shown = Policy.of_file("pipeline-role.json")
    (statement,) = roles.policy("DeployRole").statements
    assert as_list(statement["Action"]) == ["sts:AssumeRole"]
    resources = json.dumps(statement["Resource"])
    for here, documented in (
        ("hnb659fds", "hpnr"),
        ("000000000000", "111122223333"),
        ("us-east-1", "us-west-2"),
    ):
        resources = resources.replace(here, documented)
    assert json.loads(resources) == [resource for _, resource in shown.resources]


def test_the_command_of_the_page_creates_the_roles(sandbox: Sandbox) -> None:
    (command,) = commands(DOCS / "pipelines.md", of="roles/github.yaml")
    run_aws(sandbox, *command[1:], folder=EXAMPLE)
    roles = Roles(sandbox, "github", HOSTS["github"][0], "removal-pipeline-roles")
    assert roles.can_be_assumed("DeployRole", DEPLOYMENT["github"])
