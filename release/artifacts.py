"""Make the folder `dist/`, with all files of a release.

    python -m release.artifacts

The same sources make the same bytes at any time and in any folder, so a checksum shows whether a
file was made from them.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

from hyperpod_node_removal._asset import package_folder, staged_code
from hyperpod_node_removal._drains import EKS_PACKAGE, MARKER_PACKAGE, SLURM_PACKAGE
from hyperpod_node_removal._hook_function import HOOK_PACKAGE
from release import property_schema
from release.drain_templates import EKS_ZIP, MARKER_ZIP, SLURM_ZIP, drain_texts
from release.provider_template import (
    COMMENTS,
    HANDLER_ZIP,
    PACKAGEABLE_HEAD,
    PROVIDER_HEAD,
    packageable_template,
    provider_template,
)
from release.templates import template_text

PROVIDER: Final = "hyperpod-node-removal-provider.yaml"
PACKAGEABLE: Final = "hyperpod-node-removal-provider.packageable.yaml"
RBAC: Final = "rbac.yaml"
"""The permissions of EksDrain in a cluster, for kubectl."""
CHECKSUMS: Final = "SHA256SUMS"

_PROJECT: Final = Path(__file__).resolve().parent.parent
_EPOCH: Final = "315532800"
"""Seconds: 1980-01-01, the earliest time that an archive can have. No file in it has a date."""
_UNIX: Final = 3
_REGULAR_FILE: Final = 0o100644 << 16
"""Lambda cannot read a file that only its owner can."""


def write_distribution(folder: Path) -> None:
    """Make the folder anew.

    Raises:
        subprocess.CalledProcessError: the wheel or the sdist cannot be built.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", str(folder.resolve())],
        cwd=_PROJECT,
        env={"SOURCE_DATE_EPOCH": _EPOCH, **os.environ},
        check=True,
    )
    write_templates(folder)
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
    ]
    (folder / CHECKSUMS).write_text("".join(sums), encoding="utf-8")


def write_templates(folder: Path) -> None:
    """Write what needs no build: the code of the functions, their templates, and the schemas."""
    write_archive(staged_code(), folder / HANDLER_ZIP)
    for package, archive in (
        (SLURM_PACKAGE, SLURM_ZIP),
        (EKS_PACKAGE, EKS_ZIP),
        (MARKER_PACKAGE, MARKER_ZIP),
    ):
        write_archive(staged_code((package, HOOK_PACKAGE)), folder / archive)
    shutil.copyfile(package_folder(EKS_PACKAGE) / RBAC, folder / RBAC)
    texts = {
        **drain_texts(),
        PROVIDER: template_text(provider_template(), PROVIDER_HEAD, COMMENTS),
        **{path.name: text for path, text in property_schema.schema_texts().items()},
        PACKAGEABLE: template_text(packageable_template(), PACKAGEABLE_HEAD, COMMENTS),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def write_archive(folder: Path, path: Path) -> None:
    """Pack the files of a folder in order of name, all with one time and one mode."""
    files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*.*")}
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in sorted(files.items()):
            if file.is_file():
                entry = zipfile.ZipInfo(name)  # its time is 1980-01-01 unless given
                entry.create_system = _UNIX
                entry.external_attr = _REGULAR_FILE
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, file.read_bytes(), compresslevel=9)


if __name__ == "__main__":
    write_distribution(Path("dist"))
