"""What the package exports, and that its folder stays a source root."""

import importlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Final

import pytest

import hyperpod_node_removal
from hyperpod_node_removal._aws_cdk_lib import OLDEST, _check

PROJECT: Final = Path(__file__).resolve().parents[2]


def test_exported_members_are_sorted_and_complete() -> None:
    assert hyperpod_node_removal.__all__ == sorted(hyperpod_node_removal.__all__)
    public = {
        name
        for name, value in vars(hyperpod_node_removal).items()
        if isinstance(value, type) and not name.startswith("_")
    }
    assert set(hyperpod_node_removal.__all__) == public


def install_aws_cdk_lib(version: str, folder: Path) -> None:
    info = folder / f"aws_cdk_lib-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: aws-cdk-lib\nVersion: {version}\n", encoding="utf-8")


def test_an_aws_cdk_lib_that_is_too_old_is_an_import_error(tmp_path: Path) -> None:
    install_aws_cdk_lib("2.268.0", tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", "import hyperpod_node_removal"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert error.startswith(
        "ImportError: hyperpod-node-removal needs aws-cdk-lib 2.269 or newer; 2.268.0 is installed."
    )
    assert "Validations.acknowledge" in error


@pytest.mark.parametrize("version", ["2.269.0", "2.300.1", "0.0.0", "2.x"])
def test_any_other_aws_cdk_lib_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    install_aws_cdk_lib(version, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.metadata.version("aws-cdk-lib") == version
    _check()


def test_the_oldest_aws_cdk_lib_is_that_of_the_metadata() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = ".".join(map(str, OLDEST))
    assert f"aws-cdk-lib>={oldest},<3" in project["dependencies"]


def test_the_package_is_typed() -> None:
    assert files("hyperpod_node_removal").joinpath("py.typed").is_file()


def test_the_console_script_exists() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["hyperpod-node-removal"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_source_roots_are_not_packages() -> None:
    """With an __init__.py, constructs/ would hide the PyPI package and break every CDK import."""
    for root in ("cli", "constructs", "lambda", "shared"):
        assert (PROJECT / root).is_dir()
        assert not (PROJECT / root / "__init__.py").exists()
    spec = importlib.util.find_spec("constructs")
    assert spec is not None
    assert spec.origin is not None
    assert PROJECT / "constructs" not in Path(spec.origin).parents


def test_the_package_does_not_import_a_second_time_below_constructs() -> None:
    """PyPI's constructs extends its path over folders of the same name: classes would differ."""
    with pytest.raises(ImportError):
        importlib.import_module("constructs.hyperpod_node_removal")
    assert "constructs.hyperpod_node_removal" not in sys.modules
