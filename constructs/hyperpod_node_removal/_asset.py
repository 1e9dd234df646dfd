"""The code of functions, copied from the installed packages.

The handler and crhelper are pure Python, so they are copied: without Docker or network, and what is
deployed is what was reviewed, byte for byte (docs/adr/0015). Only sources and data are copied, and
every file gets the same mode, so the asset and its hash are the same from a checkout or a wheel,
compiled or not, and under any umask. The mode matters beyond the hash: Lambda cannot read a file
that only its owner can read.
"""

import atexit
import shutil
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, cast

from aws_cdk import Stage
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from hyperpod_node_removal._errors import NodeRemovalError

HANDLER_PACKAGE: Final = "hyperpod_node_removal_handler"
PACKAGES: Final = (HANDLER_PACKAGE, "hyperpod_node_removal_contract", "crhelper")
"""Import packages of the function. boto3 comes with the Lambda runtime."""
RUNTIME: Final = lambda_.Runtime.PYTHON_3_14
"""Of all functions of this package."""

_NO_STAGING: Final = "aws:cdk:disable-asset-staging"
"""Context key of the CDK (cx-api, `DISABLE_ASSET_STAGING_CONTEXT`)."""
_SUFFIXES: Final = frozenset({".json", ".py"})
_FILE_MODE: Final = 0o644
_FOLDER_MODE: Final = 0o755


@cache
def staged_code(packages: tuple[str, ...] = PACKAGES) -> Path:
    """Return a folder with a function's code, made once per process and removed when it exits.

    Raises:
        NodeRemovalError: a package is not installed as files.
    """
    folder = Path(tempfile.mkdtemp(prefix="hyperpod-node-removal-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(_FOLDER_MODE)
    for name in packages:
        _copy(package_folder(name), folder / name)
    return folder


def function_code(scope: Construct, packages: tuple[str, ...] = PACKAGES) -> lambda_.Code:
    """Return a function's code as an asset.

    The CDK copies it while this process runs, except with `cdk --no-staging`: then the asset is
    read where it is, later, so it is in the folder of the app's other output.
    """
    folder = staged_code(packages)
    if scope.node.try_get_context(_NO_STAGING):
        output = cast("Stage", Stage.of(scope)).asset_outdir
        folder = shutil.copytree(folder, Path(output, packages[0]), dirs_exist_ok=True)
    return lambda_.Code.from_asset(str(folder))


def package_folder(name: str) -> Path:
    """Return the folder in which an import package is installed.

    Raises:
        NodeRemovalError: it is not installed, or not as a folder of files.
    """
    spec = find_spec(name)
    for location in (spec and spec.submodule_search_locations) or ():
        if Path(location, "__init__.py").is_file():
            return Path(location)
    raise NodeRemovalError(
        f"The package '{name}', a part of the Lambda function, is not installed as files;"
        " install hyperpod-node-removal with pip, which includes it"
    )


def _copy(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.suffix not in _SUFFIXES:
            continue
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
        copy.chmod(_FILE_MODE)
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
        folder.chmod(_FOLDER_MODE)
