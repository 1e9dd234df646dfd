"""The TypeScript and Terraform examples of the cookbook remove nodes.

TypeScript runs on the project's own Node.js, with the JavaScript aws-cdk-lib that is part of the
Python package. Terraform cannot run here: its file is parsed, compared with the arguments that the
provider documents, and applied with the calls that the provider makes.
"""

import importlib.util
import io
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import hcl2
import pytest

from hyperpod_node_removal_contract import SERVICE_TIMEOUT_MAX
from release.artifacts import write_templates
from sandbox.aws import ACCOUNT, REGION, Sandbox
from sandbox.hyperpod import Cluster, HyperPod
from sandbox.project import ROOT
from tests.docs.code_blocks import DOCS, code_blocks, commands

PAGE: Final = DOCS / "cookbook.md"
SHOWN: Final = ("i-0123456789abcdef0", "i-0123456789abcdef1")
JSII: Final = {
    "aws_cdk": "aws-cdk-lib",
    "aws_cdk.asset_awscli_v1": "@aws-cdk/asset-awscli-v1",
    "aws_cdk.asset_node_proxy_agent_v6": "@aws-cdk/asset-node-proxy-agent-v6",
    "aws_cdk.cloud_assembly_schema": "@aws-cdk/cloud-assembly-schema",
    "constructs": "constructs",
}
"""JavaScript packages, by the Python packages that contain them."""

STACK_ARGUMENTS: Final = {
    "capabilities": "Capabilities",
    "disable_rollback": "DisableRollback",
    "iam_role_arn": "RoleARN",
    "name": "StackName",
    "notification_arns": "NotificationARNs",
    "on_failure": "OnFailure",
    "parameters": "Parameters",
    "policy_body": "StackPolicyBody",
    "policy_url": "StackPolicyURL",
    "tags": "Tags",
    "template_body": "TemplateBody",
    "template_url": "TemplateURL",
    "timeout_in_minutes": "TimeoutInMinutes",
}
"""The CreateStack parameters, by the arguments of `aws_cloudformation_stack` (from the provider's
documentation, website/docs/r/cloudformation_stack.html.markdown)."""
META_ARGUMENTS: Final = {"depends_on", "timeouts"}
TEMPLATE_BODY_MAX: Final = 51_200
"""The maximum in bytes (from the documentation of the provider and of CreateStack)."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(HyperPod(account=ACCOUNT, region=REGION)) as sandbox:
        sandbox.client("s3").create_bucket(Bucket="team-artifacts")
        yield sandbox


@pytest.fixture(scope="module")
def cluster(sandbox: Sandbox) -> Cluster:
    return sandbox.hyperpod.create_cluster("ml-cluster", {"workers": 8}, shutdown_seconds=0.5)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the parts of the project that the Terraform file needs."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "dist").mkdir()
    write_templates(folder / "dist")
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


@pytest.fixture(scope="module")
def terraform() -> Mapping[str, Any]:
    """The blocks of the page's Terraform file, by kind and name."""
    (block,) = code_blocks(PAGE, "terraform")
    read = hcl2.load(io.StringIO(block.text))
    found: dict[str, Any] = {}
    for kind in ("resource", "variable", "output"):
        for entry in read[kind]:
            found |= flatten(kind if kind != "resource" else "", entry)
    return found


def flatten(prefix: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{'"kind"': {'"name"': {...}}}` as `{"kind.name": {...}}`."""
    found: dict[str, Any] = {}
    for name, value in entry.items():
        path = ".".join(filter(None, (prefix, name.strip('"'))))
        found |= {path: value} if "__is_block__" in value else flatten(path, value)
    return found


@pytest.fixture(scope="module")
def evaluate(
    terraform: Mapping[str, Any], checkout: Path, cluster: Cluster
) -> Callable[[str], dict[str, Any]]:
    """Return a function that evaluates the arguments of a stack in the Terraform file."""
    handler = terraform["aws_s3_object.handler"]
    nodes = cluster.node_ids("workers")[:2]

    def value(given: Any) -> Any:
        match given:
            case dict():
                return {name: value(one) for name, one in given.items() if name != "__is_block__"}
            case list():
                return [value(one) for one in given]
        if found := re.fullmatch(r'\$\{file\("(.*)"\)}', given):
            return (checkout / found[1]).read_text(encoding="utf-8")
        if found := re.fullmatch(r"\$\{aws_s3_object\.handler\.(\w+)}", given):
            return value(handler[found[1]])
        if given == '${join(",", var.node_ids)}':
            return ",".join(nodes)
        assert "${" not in given, f"unknown expression: {given}"
        return re.sub(r"arn:aws:sagemaker:.*", cluster.arn, given.strip('"'))

    return lambda name: {
        argument: value(one)
        for argument, one in terraform[f"aws_cloudformation_stack.{name}"].items()
        if argument not in {"depends_on", "__is_block__"}
    }


@pytest.fixture(scope="module")
def provider(
    sandbox: Sandbox, checkout: Path, evaluate: Callable[[str], dict[str, Any]]
) -> Mapping[str, str]:
    """Deploy the provider of the Terraform file for both tests, and return its outputs."""
    arguments = evaluate("provider")
    parameters = arguments["parameters"]
    sandbox.client("s3").put_object(
        Bucket=parameters["CodeBucket"],
        Key=parameters["CodeKey"],
        Body=(checkout / "dist" / "handler.zip").read_bytes(),
    )
    # the page has one stack with removals, the tests have two
    return apply(sandbox, {**arguments, "parameters": {**parameters, "StackName": "*"}})


def apply(sandbox: Sandbox, arguments: Mapping[str, Any]) -> Mapping[str, str]:
    """Create a stack as the Terraform provider does, and return its outputs."""
    given = {STACK_ARGUMENTS[name]: one for name, one in arguments.items() if name != "timeouts"}
    given["Parameters"] = [
        {"ParameterKey": name, "ParameterValue": one} for name, one in given["Parameters"].items()
    ]
    client = sandbox.client("cloudformation")
    client.create_stack(**given)
    client.get_waiter("stack_create_complete").wait(
        StackName=given["StackName"], WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )
    return sandbox.outputs(given["StackName"])


def test_the_terraform_file_uses_documented_arguments(terraform: Mapping[str, Any]) -> None:
    stacks = [one for name, one in terraform.items() if name.startswith("aws_cloudformation_stack")]
    assert len(stacks) == 2
    for stack in stacks:
        assert set(stack) - {"__is_block__"} <= set(STACK_ARGUMENTS) | META_ARGUMENTS
    assert set(terraform["aws_s3_object.handler"]) == {"bucket", "key", "source", "__is_block__"}
    assert terraform["output.removed_nodes"]["value"] == (
        '${aws_cloudformation_stack.faulty_nodes.outputs["RemovedNodes"]}'
    )


def test_the_terraform_file_removes_the_nodes_within_its_limits(
    sandbox: Sandbox,
    cluster: Cluster,
    provider: Mapping[str, str],
    evaluate: Callable[[str], dict[str, Any]],
) -> None:
    arguments = evaluate("faulty_nodes")
    for stack in (arguments, evaluate("provider")):
        assert len(stack["template_body"].encode()) <= TEMPLATE_BODY_MAX
    (timeouts,) = arguments["timeouts"]
    assert set(timeouts) == {"create", "update"}
    for text in timeouts.values():
        assert int(text.removesuffix("m")) * 60 > SERVICE_TIMEOUT_MAX
    nodes = arguments["parameters"]["NodeIds"]
    assert apply(sandbox, arguments)["RemovedNodes"] == nodes
    assert cluster.present.isdisjoint(nodes.split(","))


def node_modules() -> Path:
    """Unpack the app's imports, once for each version of aws-cdk-lib, and return the folder."""
    made = ROOT / ".sandbox" / f"aws-cdk-lib-{version('aws-cdk-lib')}" / "node_modules"
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=made.parent) as scratch:
            for python_package, package in JSII.items():
                specification = importlib.util.find_spec(f"{python_package}._jsii")
                assert specification is not None
                assert specification.submodule_search_locations
                (archives,) = Path(specification.submodule_search_locations[0]).glob("*.tgz")
                folder = Path(scratch, "node_modules", package)
                with tarfile.open(archives) as archive:
                    archive.extractall(folder, filter="data")
                for path in (folder / "package").iterdir():
                    path.rename(folder / path.name)
            Path(scratch, "node_modules").rename(made)
    return made


@pytest.fixture
def app(cluster: Cluster, tmp_path: Path) -> Path:
    """A folder with the page's app for two nodes of the cluster, and its imports."""
    (tmp_path / "node_modules").symlink_to(node_modules())
    (block,) = code_blocks(PAGE, "typescript")
    text = block.text
    for shown, node in zip(SHOWN, cluster.node_ids("workers")[2:4], strict=True):
        assert shown in text
        text = text.replace(shown, node)
    (tmp_path / "app.ts").write_text(text, encoding="utf-8")
    return tmp_path


def test_the_typescript_app_removes_the_nodes(
    sandbox: Sandbox, cluster: Cluster, provider: Mapping[str, str], app: Path
) -> None:
    (command,) = commands(PAGE, of="node app.ts")
    sandbox.bootstrap()
    nodes = re.findall(r"i-[0-9a-f]{17}", (app / "app.ts").read_text(encoding="utf-8"))
    done = sandbox.cdk(*command[1:], "--require-approval", "never", cwd=app)
    assert done.returncode == 0, done.stdout
    assert sandbox.outputs("Maintenance")["RemovedNodes"] == ",".join(nodes)
    assert cluster.present.isdisjoint(nodes)
