"""`app.py` as the CDK CLI runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from hyperpod_node_removal_contract import RESOURCE_TYPE, Attribute
from sandbox.project import PATH

PROJECT: Final = Path(__file__).resolve().parents[2]
ONE, TWO = "i-0123456789abcdef0", "i-0123456789abcdef1"
HOOK_ARN: Final = "arn:aws:lambda:us-west-2:111122223333:function:drain:live"


def run(folder: Path, **context: str) -> subprocess.CompletedProcess[str]:
    """Run the app in `folder` as `cdk synth -c ... --output cdk.out` does."""
    variables = {
        "CDK_CONTEXT_JSON": json.dumps(context),
        "CDK_OUTDIR": str(folder / "cdk.out"),
        "PATH": PATH,
    }
    return subprocess.run(
        [sys.executable, str(PROJECT / "app.py")],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_stack_with_outputs(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        cluster="ml-cluster",
        node_ids=f"{ONE},{TWO}",
        retry_token="2",
        min_remaining="workers=4",
        dry_run="true",
        before_removal=HOOK_ARN,
    )
    assert done.returncode == 0, done.stderr
    path = tmp_path / "cdk.out" / "hyperpod-node-removal-ml-cluster.template.json"
    template: dict[str, Any] = json.loads(path.read_text())
    resources = template["Resources"].values()
    (removal,) = (one for one in resources if one["Type"] == RESOURCE_TYPE)
    assert removal["Properties"]["ClusterName"] == "ml-cluster"
    assert removal["Properties"]["NodeIds"] == [ONE, TWO]
    assert removal["Properties"]["RetryToken"] == "2"
    assert removal["Properties"]["MinRemaining"] == {"workers": 4}
    assert removal["Properties"]["DryRun"] is True
    assert removal["Properties"]["BeforeRemoval"] == HOOK_ARN
    assert {"Action": "lambda:InvokeFunction", "Effect": "Allow", "Resource": HOOK_ARN} in [
        statement
        for one in resources
        if one["Type"] == "AWS::IAM::Policy"
        for statement in one["Properties"]["PolicyDocument"]["Statement"]
    ]
    outputs = template["Outputs"]
    assert outputs["FailedNodes"]["Value"]["Fn::GetAtt"] == ["Removal1BFB0048", "FailedNodes"]
    assert outputs.keys() == {"LogGroup", *Attribute}
    assert all(output["Description"] for output in outputs.values())


@pytest.mark.slow
def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "set.yaml").write_text("cluster: ml-cluster\nnode_ids: [i-1]\n")
    done = run(tmp_path, removals="set.yaml")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "error: set.yaml, line 2: node_ids: 'i-1' is not an instance id; allowed: i- and 8 or 17"
        " of the digits 0-9 a-f\n"
    )


def test_the_cli_runs_app_py() -> None:
    assert json.loads((PROJECT / "cdk.json").read_text())["app"] == "python app.py"
