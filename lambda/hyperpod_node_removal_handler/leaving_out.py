"""Imports that leave out what a cold start would pay for and no call uses. See docs/adr/0011."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def leaving_out(*names: str) -> Iterator[None]:
    """What is imported in the block gets empty modules of these names, unless they are loaded.

    Whatever is taken from an empty module is a class. It may be called, derived from and asked for
    with `isinstance`, and its instances do nothing.
    """
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update({name: _Empty(name) for name in absent})
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)


class _Empty(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked for by the import system
            raise AttributeError(name)
        return type(name, (_Nothing,), {})


class _Nothing:
    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked for by whoever looks at a function
            raise AttributeError(name)
        return self
