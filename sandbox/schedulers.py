"""Schedulers next to a cluster of the sandbox, for a drain to work with."""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import yaml

from sandbox.aws import ACCOUNT, REGION, Sandbox
from sandbox.engine import EKS_FOLDER
from sandbox.hyperpod import Cluster
from sandbox.kubernetes import Budget, ClusterState, KubernetesApi, Node, Pod, Rules
from sandbox.project import ROOT
from sandbox.slurm import slurm

KINDS: Final = ("slurm", "eks")
RBAC: Final = ROOT / "lambda" / "hyperpod_node_removal_eks_drain" / "rbac.yaml"
_DEPLOY: Final = "aws cloudformation deploy --stack-name drain --capabilities CAPABILITY_IAM"


def rules() -> Rules:
    """Return the rules of the ClusterRole of `EksDrain`."""
    role, _ = yaml.safe_load_all(RBAC.read_text(encoding="utf-8"))
    found: Rules = role["rules"]
    return found


def slurm_names(sandbox: Sandbox, cluster: Cluster) -> dict[str, str]:
    """Return the names of a cluster's nodes in Slurm, by instance id."""
    listed = sandbox.client("sagemaker").list_cluster_nodes(ClusterName=cluster.name)
    return {
        node["InstanceId"]: node["PrivateDnsHostname"].partition(".")[0]
        for node in listed["ClusterNodeSummaries"]
    }


@contextmanager
def eks_cluster(sandbox: Sandbox, api: KubernetesApi) -> Iterator[str]:
    """Serve a Kubernetes API as that of an EKS cluster. Yields the cluster's ARN."""
    arn = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{api.name}"
    folder = sandbox.directory / EKS_FOLDER
    folder.mkdir(exist_ok=True)
    with api.serve() as endpoint:
        cluster = {
            "name": api.name,
            "arn": arn,
            "endpoint": endpoint,
            "certificateAuthority": {"data": base64.b64encode(api.authority.encode()).decode()},
        }
        file = folder / f"{api.name}.json"
        file.write_text(json.dumps({"cluster": cluster}), encoding="ascii")
        try:
            yield arn
        finally:
            file.unlink()


@contextmanager
def scheduler(kind: str, sandbox: Sandbox, cluster: Cluster, group: str) -> Iterator[list[str]]:
    """Run a scheduler with work on the first node of a group. Yields how to use it."""
    node = cluster.node_ids(group)[0]
    start = _slurm if kind == "slurm" else _eks
    with start(sandbox, cluster, node) as (about, parameters):
        given = " ".join(f"{name}={value}" for name, value in parameters.items())
        template = f"dist/hyperpod-node-removal-{kind}-drain.yaml"
        yield [
            *about,
            "# Its drain, after `make dist`; set before_removal of a removal file to the output:",
            f"aws s3 mb s3://drains && aws s3 cp dist/{kind}-drain.zip s3://drains",
            f"{_DEPLOY} --template-file {template} --parameter-overrides CodeBucket=drains {given}",
        ]


@contextmanager
def _slurm(
    sandbox: Sandbox, cluster: Cluster, node: str
) -> Iterator[tuple[list[str], Mapping[str, str]]]:
    names = slurm_names(sandbox, cluster)
    with slurm(list(names.values())) as running:
        secret = sandbox.client("secretsmanager").create_secret(
            Name="slurm-token", SecretString=running.token()
        )
        job = running.submit(names[node])
        yield (
            [
                f"# A Slurm; job {job} runs on {names[node]}, which is {node}:",
                f"alias slurm='{running.prefix}'; slurm sinfo -N; slurm scancel {job}",
            ],
            {
                "RestApi": running.rest_api,
                "TokenArn": secret["ARN"],
                "SubnetIds": "subnet-0123456789abcdef0",
                "SecurityGroupIds": "sg-0123456789abcdef0",
            },
        )


@contextmanager
def _eks(
    sandbox: Sandbox, cluster: Cluster, node: str
) -> Iterator[tuple[list[str], Mapping[str, str]]]:
    nodes = [
        f"hyperpod-{one}" for group in cluster.target_counts for one in cluster.node_ids(group)
    ]
    state = ClusterState(
        nodes={name: Node() for name in nodes},
        pods=[
            Pod("ml", "web-0", f"hyperpod-{node}"),
            Pod("ml", "trainer-0", nodes[-1], app="trainer"),
        ],
        budgets=[Budget("trainer", "trainer", min_available=1)],
    )
    # The model of SageMaker gives every cluster on EKS an EKS cluster of the same name.
    with eks_cluster(sandbox, KubernetesApi(cluster.name, state, rules())):
        yield (
            [f"# A Kubernetes API: {node} has a pod, and a budget keeps the one on {nodes[-1]}."],
            {"EksCluster": cluster.name},
        )
