"""The code of the peers' functions, to run here and as it would be deployed."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final

from bench.project import BENCH
from hyperpod_node_removal._asset import package_folder

_WITHOUT_CRHELPER: Final = "provider"


def loaded(peer: str) -> ModuleType:
    """The module of a peer as a fresh process has it: nobody else's."""
    path = BENCH / "peers" / peer / "index.py"
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    exec(compile(path.read_bytes(), path, "exec"), vars(module))
    return module


@cache
def deployable(peer: str) -> Path:
    """Folder with the peer's code, with crhelper beside it if it needs it. Removed at exit."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(BENCH / "peers" / peer, folder / peer, ignore=ignored)
    if peer != _WITHOUT_CRHELPER:
        crhelper = package_folder("crhelper")
        shutil.copytree(crhelper, folder / peer / "crhelper", ignore=ignored)
    return folder / peer
