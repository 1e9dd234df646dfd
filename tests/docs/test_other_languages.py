"""The cookbook's ways in from TypeScript and Terraform lead to a removal.

TypeScript is run by the project's own Node.js, with the aws-cdk-lib for JavaScript that the Python
package carries. Terraform itself cannot be run here: its file is read, held against the schema that
the provider documents, and applied with the calls that the provider makes.
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
"""Packages for JavaScript, by the Python packages that carry them."""

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
"""Arguments of `aws_cloudformation_stack`, with those of CreateStack to which the provider passes
them (its documentation, website/docs/r/cloudformation_stack.html.markdown)."""
META_ARGUMENTS: Final = {"depends_on", "timeouts"}
TEMPLATE_BODY_MAX: Final = 51_200
"""Bytes (the provider's documentation, and CreateStack's)."""


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
    """What the Terraform file needs of the project."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "dist").mkdir()
    write_templates(folder / "dist")
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


@pytest.fixture(scope="module")
def terraform() -> Mapping[str, Any]:
    """The blocks of the page's file, by kind and name."""
    (block,) = code_blocks(PAGE, "terraform")
    read = hcl2.load(io.StringIO(block.text))
    found: dict[str, Any] = {}
    for kind in ("resource", "variable", "output"):
        for entry in read[kind]:
            found |= flattened(kind if kind != "resource" else "", entry)
    return found


def flattened(prefix: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """`{'"kind"': {'"name"': {...}}}` as `{"kind.name": {...}}`."""
    found: dict[str, Any] = {}
    for name, value in entry.items():
        path = ".".join(filter(None, (prefix, name.strip('"'))))
        found |= {path: value} if "__is_block__" in value else flattened(path, value)
    return found


@pytest.fixture(scope="module")
def evaluated(
    terraform: Mapping[str, Any], checkout: Path, cluster: Cluster
) -> Callable[[str], dict[str, Any]]:
    """The arguments of a stack, with the value of each expression."""
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
        assert "${" not in given, f"an expression that this test does not know: {given}"
        return re.sub(r"arn:aws:sagemaker:.*", cluster.arn, given.strip('"'))

    return lambda name: {
        argument: value(one)
        for argument, one in terraform[f"aws_cloudformation_stack.{name}"].items()
        if argument not in {"depends_on", "__is_block__"}
    }


@pytest.fixture(scope="module")
def provider(
    sandbox: Sandbox, checkout: Path, evaluated: Callable[[str], dict[str, Any]]
) -> Mapping[str, str]:
    """The first stack of the Terraform file, whose function serves both tests; its outputs."""
    arguments = evaluated("provider")
    parameters = arguments["parameters"]
    sandbox.client("s3").put_object(
        Bucket=parameters["CodeBucket"],
        Key=parameters["CodeKey"],
        Body=(checkout / "dist" / "handler.zip").read_bytes(),
    )
    # the page has one stack with removals, the tests have two
    return applied(sandbox, {**arguments, "parameters": {**parameters, "StackName": "*"}})


def applied(sandbox: Sandbox, arguments: Mapping[str, Any]) -> Mapping[str, str]:
    """Create a stack as the provider does; the outputs."""
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


def test_terraform_uses_what_the_provider_documents(terraform: Mapping[str, Any]) -> None:
    stacks = [one for name, one in terraform.items() if name.startswith("aws_cloudformation_stack")]
    assert len(stacks) == 2
    for stack in stacks:
        assert set(stack) - {"__is_block__"} <= set(STACK_ARGUMENTS) | META_ARGUMENTS
    assert set(terraform["aws_s3_object.handler"]) == {"bucket", "key", "source", "__is_block__"}
    assert terraform["output.removed_nodes"]["value"] == (
        '${aws_cloudformation_stack.faulty_nodes.outputs["RemovedNodes"]}'
    )


def test_terraform_removes_the_nodes_within_its_limits(
    sandbox: Sandbox,
    cluster: Cluster,
    provider: Mapping[str, str],
    evaluated: Callable[[str], dict[str, Any]],
) -> None:
    arguments = evaluated("faulty_nodes")
    for stack in (arguments, evaluated("provider")):
        assert len(stack["template_body"].encode()) <= TEMPLATE_BODY_MAX
    (timeouts,) = arguments["timeouts"]
    assert set(timeouts) == {"create", "update"}
    for text in timeouts.values():
        assert int(text.removesuffix("m")) * 60 > SERVICE_TIMEOUT_MAX
    nodes = arguments["parameters"]["NodeIds"]
    assert applied(sandbox, arguments)["RemovedNodes"] == nodes
    assert cluster.present.isdisjoint(nodes.split(","))


def node_modules() -> Path:
    """What the app imports, unpacked once for each version of aws-cdk-lib."""
    made = ROOT / ".sandbox" / f"aws-cdk-lib-{version('aws-cdk-lib')}" / "node_modules"
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=made.parent) as scratch:
            for python_package, package in JSII.items():
                specification = importlib.util.find_spec(f"{python_package}._jsii")
                assert specification is not None
                assert specification.submodule_search_locations
                (carried,) = Path(specification.submodule_search_locations[0]).glob("*.tgz")
                folder = Path(scratch, "node_modules", package)
                with tarfile.open(carried) as archive:
                    archive.extractall(folder, filter="data")
                for path in (folder / "package").iterdir():
                    path.rename(folder / path.name)
            Path(scratch, "node_modules").rename(made)
    return made


@pytest.fixture
def app(cluster: Cluster, tmp_path: Path) -> Path:
    """The page's app, with two nodes of the cluster, and what it imports."""
    (tmp_path / "node_modules").symlink_to(node_modules())
    (block,) = code_blocks(PAGE, "typescript")
    text = block.text
    for shown, node in zip(SHOWN, cluster.node_ids("workers")[2:4], strict=True):
        assert shown in text
        text = text.replace(shown, node)
    (tmp_path / "app.ts").write_text(text, encoding="utf-8")
    return tmp_path


def test_typescript_removes_the_nodes(
    sandbox: Sandbox, cluster: Cluster, provider: Mapping[str, str], app: Path
) -> None:
    (command,) = commands(PAGE, of="node app.ts")
    sandbox.bootstrap()
    nodes = re.findall(r"i-[0-9a-f]{17}", (app / "app.ts").read_text(encoding="utf-8"))
    done = sandbox.cdk(*command[1:], "--require-approval", "never", cwd=app)
    assert done.returncode == 0, done.stdout
    assert sandbox.outputs("Maintenance")["RemovedNodes"] == ",".join(nodes)
    assert cluster.present.isdisjoint(nodes)
