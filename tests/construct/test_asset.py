"""The function's code is the same wherever and however the package is installed."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from aws_cdk import App, Stack

from bench.sections.package import GOAL, zipped
from hyperpod_node_removal import EksDrain, NodeRemovalError, NodeRemovalProvider
from hyperpod_node_removal._asset import PACKAGES, package_folder, staged_code

pytestmark = pytest.mark.slow

PROJECT: Final = Path(__file__).resolve().parents[2]

# What `cdk synth` does with the code, in a process of its own: stages it below its working folder
# and prints the asset's hash.
SYNTH: Final = """
import os, sys
os.umask(int(sys.argv[1], 8))
from aws_cdk import App, Stack
from hyperpod_node_removal import NodeRemovalProvider
app = App(outdir="cdk.out")
NodeRemovalProvider(Stack(app, "Stack"))
app.synth()
import hyperpod_node_removal
print(hyperpod_node_removal.__file__)
"""


def synthesized_asset(folder: Path, umask: str, *, path: str = "") -> Path:
    """The staged asset of an app that runs in `folder`, packages from `path` first."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SYNTH, umask],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(path)
    (asset,) = folder.glob("cdk.out/asset.*")
    return asset


@pytest.fixture(scope="module")
def from_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesized_asset(tmp_path_factory.mktemp("checkout") / "app", "022")


@pytest.fixture(scope="module")
def from_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The asset of a fresh installation, under a umask that keeps everything to its owner."""
    folder = tmp_path_factory.mktemp("wheel")
    wheels, installed = folder / "wheels", folder / "installed"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    build = [*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", str(wheels), "."]
    subprocess.run(build, cwd=PROJECT, check=True)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "install", *offline, "--target", str(installed), wheel], check=True)
    return synthesized_asset(folder / "app", "077", path=str(installed))


def test_the_hash_is_the_same_from_a_wheel_and_under_a_strict_umask(
    from_checkout: Path, from_wheel: Path
) -> None:
    assert from_wheel.name == from_checkout.name


def test_lambda_can_read_every_file_under_any_umask(from_wheel: Path) -> None:
    files = [path for path in from_wheel.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o644}


def test_the_asset_holds_the_handler_and_crhelper_and_nothing_else(from_checkout: Path) -> None:
    files = {path.relative_to(from_checkout).as_posix() for path in from_checkout.rglob("*.*")}
    assert "hyperpod_node_removal_handler/index.py" in files
    assert "hyperpod_node_removal_contract/properties.py" in files
    assert "hyperpod_node_removal_handler/data/sagemaker/2017-07-24/service-2.json" in files
    assert "crhelper/resource_helper.py" in files
    assert {file.partition("/")[0] for file in files} == {
        "hyperpod_node_removal_handler",
        "hyperpod_node_removal_contract",
        "crhelper",
    }
    assert {Path(file).suffix for file in files if Path(from_checkout, file).is_file()} == {
        ".py",
        ".json",
    }


def test_every_deployed_file_is_the_one_of_the_repository(from_checkout: Path) -> None:
    for package in PACKAGES:
        source, deployed = package_folder(package), from_checkout / package
        for path in deployed.rglob("*.*"):
            assert path.read_bytes() == (source / path.relative_to(deployed)).read_bytes(), path


def test_the_asset_is_small(from_checkout: Path) -> None:
    size, _ = zipped(from_checkout)
    assert size < GOAL


def test_the_staged_handler_imports_by_itself(from_checkout: Path) -> None:
    """With the asset as Lambda sees it: no copy of its packages, the CDK or PyYAML is around."""
    index = from_checkout / "hyperpod_node_removal_handler" / "index.py"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        " import hyperpod_node_removal_handler.index as index;"
        " print(index.__file__, callable(index.handler), {'aws_cdk', 'yaml'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(from_checkout)],
        env={**os.environ, "AWS_DEFAULT_REGION": "us-west-2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == f"{index} True set()", done.stderr


def test_without_staging_the_code_outlives_the_synth(tmp_path: Path) -> None:
    """`cdk --no-staging` makes the CDK read assets where they are, after the app has ended."""
    context = {"aws:cdk:disable-asset-staging": True}
    app = App(outdir=str(tmp_path), context=context, analytics_reporting=False)
    stack = Stack(app, "Stack")
    NodeRemovalProvider(stack)
    EksDrain(stack, "Drain", cluster="training")
    app.synth()
    manifest = json.loads((tmp_path / "Stack.assets.json").read_text(encoding="utf-8"))
    packages = [file["source"] for file in manifest["files"].values()]
    folders = [tmp_path / one["path"] for one in packages if one["packaging"] == "zip"]
    assert len(folders) == 2
    assert all(folder.is_relative_to(tmp_path) and folder.is_dir() for folder in folders)


def test_the_code_is_staged_once_per_process() -> None:
    assert staged_code() is staged_code()


def test_a_missing_package_is_named() -> None:
    with pytest.raises(NodeRemovalError, match="The package 'no_such_package'"):
        package_folder("no_such_package")
    with pytest.raises(NodeRemovalError, match="is not installed as files"):
        package_folder("json.decoder")
