"""The code of the peers' functions, to run here and as it would be deployed."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType

from bench.project import BENCH
from hyperpod_node_removal._asset import package_folder


def fresh(path: str | Path) -> ModuleType:
    """A module of this source as a fresh process has it: nobody else's."""
    source = Path(path)
    module = ModuleType(source.stem)
    module.__file__ = str(source)
    exec(compile(source.read_bytes(), source, "exec"), vars(module))
    return module


def loaded(peer: str) -> ModuleType:
    """The fresh module of a peer."""
    return fresh(BENCH / "peers" / peer / "index.py")


@cache
def naive_with_crhelper() -> Path:
    """Folder with the naive handler as it would be deployed. Removed at exit."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(BENCH / "peers" / "naive", folder, ignore=ignored, dirs_exist_ok=True)
    shutil.copytree(package_folder("crhelper"), folder / "crhelper", ignore=ignored)
    return folder
