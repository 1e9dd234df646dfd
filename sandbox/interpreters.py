"""Interpreters that functions can run on, and the packages that Lambda's runtime has for them."""

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from sandbox.process import SandboxError
from sandbox.project import ROOT

VERSIONS: Final = ("3.11", "3.12", "3.13", "3.14")
"""Versions that the function is tested with; the template uses the last."""
VARIABLE: Final = "PYTHONS"
"""Environment variable with interpreters that are not on the PATH, separated by colons."""
_CLIENT: Final = ("awslambdaric", "simplejson", "snapshot-restore-py")
"""The client and its dependencies, as `requirements.lock` pins them."""
_SDK: Final = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")


def found() -> dict[str, Path]:
    """Return the interpreters of this machine, by version; those of `PYTHONS` take precedence.

    Raises:
        SandboxError: one of `PYTHONS` does not run.
    """
    named = [Path(name) for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]
    pythons = {_version(python): python for python in reversed(named)}
    for version in VERSIONS:
        python = shutil.which(f"python{version}")
        if python and version not in pythons:
            # A shim on the PATH may start nothing.
            with suppress(SandboxError):
                pythons[_version(Path(python))] = Path(python)
    return {_version(Path(sys.executable)): Path(sys.executable)} | pythons


def link_sdk(folder: Path) -> Path:
    """Make a folder with the SDK for Python, as it is installed, and nothing else."""
    cache = folder / "__pycache__"
    cache.mkdir(parents=True)
    for name in _SDK:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise SandboxError(f"{name} is not installed; functions need it")
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (folder / source.name).symlink_to(source)
        if source is origin and spec.cached:
            (cache / Path(spec.cached).name).symlink_to(spec.cached)
    return folder


def runtime_client(python: Path) -> Path:
    """Return the folder with `awslambdaric` for an interpreter.

    For another version than that of this process, it is downloaded, by its hash.

    Raises:
        SandboxError: it does not exist, or the interpreter does not run.
    """
    spec = find_spec("awslambdaric")
    if spec is None or spec.origin is None:
        raise SandboxError(
            "awslambdaric is not installed; it runs functions as Lambda does, and exists for Linux"
            " only: on another system, use a container or a virtual machine with Linux."
        )
    version = _version(python)
    if version == _version(Path(sys.executable)):
        return Path(spec.origin).parents[1]
    folder = ROOT / ".sandbox" / f"runtime-client-{version}"
    if not folder.exists():
        _fetch(version, folder)
    return folder


@cache
def _version(python: Path) -> str:
    command = [str(python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SandboxError(f"{python} does not run; give the path of a Python: {error}") from error
    return done.stdout.strip()


def _fetch(version: str, folder: Path) -> None:
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        pins = Path(scratch, "requirements.txt")
        pins.write_text(_locked((ROOT / "requirements.lock").read_text("utf-8")), "utf-8")
        made = Path(scratch, "made")
        options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--quiet"]
        where = ["--python-version", version, "--target", str(made), "-r", str(pins)]
        command = [sys.executable, "-m", "pip", "install", *options, *where]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SandboxError(f"awslambdaric for Python {version} is missing: {done.stderr}")
        # Another process may have been faster.
        if not folder.exists():
            made.rename(folder)


def _locked(lock: str) -> str:
    """Return the lines of the lock file that pin the client."""
    entries = lock.replace("\\\n", "\\\0").splitlines()
    pinned = [entry for entry in entries if entry.startswith(tuple(f"{n}==" for n in _CLIENT))]
    return "\n".join(pinned).replace("\0", "\n") + "\n"
