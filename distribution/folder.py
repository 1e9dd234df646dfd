"""The folder `dist/`, with everything that a release consists of.

The same sources make the same bytes, whenever and in whatever folder they are made, so a checksum
tells whether a file comes from them.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from distribution import property_schema
from distribution.comments import PACKAGEABLE_HEAD, PROVIDER_HEAD, RESOURCES
from distribution.handler_zip import write_handler_zip
from distribution.provider_template import HANDLER_ZIP, packageable_template, provider_template
from distribution.template_text import template_text

PROVIDER: Final = "hyperpod-node-removal-provider.yaml"
PACKAGEABLE: Final = "hyperpod-node-removal-provider.packageable.yaml"
CHECKSUMS: Final = "SHA256SUMS"

_PROJECT: Final = Path(__file__).resolve().parent.parent
_EPOCH: Final = "315532800"
"""Seconds: 1980-01-01, the earliest time that an archive can tell. Nothing in it has a date."""


def write_distribution(folder: Path) -> None:
    """Make the folder anew.

    Raises:
        subprocess.CalledProcessError: the wheel or the sdist cannot be built.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    _build_packages(folder.resolve())
    write_templates(folder)
    (folder / CHECKSUMS).write_text(_checksums(folder), encoding="utf-8")


def write_templates(folder: Path) -> None:
    """Write what needs no build: the function's code, its templates, the schema for templates."""
    write_handler_zip(folder / HANDLER_ZIP)
    texts = {
        PROVIDER: template_text(provider_template(), PROVIDER_HEAD, RESOURCES),
        property_schema.FILE.name: property_schema.schema_text(),
        PACKAGEABLE: template_text(packageable_template(), PACKAGEABLE_HEAD, RESOURCES),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _build_packages(folder: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(
        build,
        cwd=_PROJECT,
        env={**os.environ, "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", _EPOCH)},
        check=True,
    )


def _checksums(folder: Path) -> str:
    """Lines for `sha256sum --check`."""
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
    )
