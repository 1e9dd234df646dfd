"""The function's code as one archive, the same bytes wherever it is made."""

import zipfile
from pathlib import Path
from typing import Final

from hyperpod_node_removal._asset import staged_code

_MADE: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time that an archive can tell."""
_UNIX: Final = 3
_REGULAR_FILE: Final = 0o100644 << 16
"""Lambda cannot read a file that only its owner can."""


def write_handler_zip(path: Path) -> None:
    """Write the code that the construct deploys as an asset; see `staged_code`."""
    write_archive(staged_code(), path)


def write_archive(folder: Path, path: Path) -> None:
    """Pack the files of a folder in order of name, all with one time and one mode."""
    files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*.*")}
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in sorted(files.items()):
            if file.is_file():
                entry = zipfile.ZipInfo(name, _MADE)
                entry.create_system = _UNIX
                entry.external_attr = _REGULAR_FILE
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, file.read_bytes(), compresslevel=9)
