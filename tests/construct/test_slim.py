"""The deployed code is the code of the repository, statement by statement and line by line."""

import ast
from pathlib import Path
from typing import Final

import pytest

from hyperpod_node_removal._asset import HANDLER_PACKAGE, package_folder, staged_code
from hyperpod_node_removal._slim import slim

SOURCES: Final = sorted(package_folder(HANDLER_PACKAGE).glob("*.py"))

COMMENTED: Final = '''"""What it is for."""

# why
LIMIT = 3  # seconds
URL = "  # kept"
"""More about it."""


class Nothing(Exception):
    """Nothing."""


def text(size: int, *more: str, sep: "str" = "->") -> dict[str, int]:  # seconds
    """A text."""
    # why
    found: list[str] = [lambda x: x]
    return """  # kept
# kept
"""


def split(
    é: str, many: dict[
        str, int
    ], few: set[str]
) -> None: ...
'''


def without_text(tree: ast.AST) -> ast.AST:
    """The tree without text and types of functions, each node with the line on which it begins."""
    for node in ast.walk(tree):
        for name in ("end_lineno", "col_offset", "end_col_offset"):
            vars(node).pop(name, None)
        for name in ("annotation", "returns"):
            if (
                isinstance(node, ast.arg | ast.FunctionDef | ast.AsyncFunctionDef)
                and name in node._fields
            ):
                setattr(node, name, None)
        body = getattr(node, "body", None)
        if isinstance(body, list):
            code = [
                statement
                for statement in body
                if not (
                    isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
                )
            ]
            node.body = code or [ast.Pass()]  # type: ignore[attr-defined]
    return tree


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_statement_is_where_it_was(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    slimmed = (staged_code() / HANDLER_PACKAGE / path.name).read_text(encoding="utf-8")
    before, after = (
        ast.dump(without_text(ast.parse(text)), include_attributes=True)
        for text in (source, slimmed)
    )
    assert after == before


def test_text_is_blanked_and_code_is_not() -> None:
    lines = slim(COMMENTED).splitlines()
    assert len(lines) == len(COMMENTED.splitlines())
    assert [line for line in lines if line] == [
        "LIMIT = 3",
        'URL = "  # kept"',
        "class Nothing(Exception):",
        "    ...",
        'def text(size, *more, sep = "->"):',
        "    found: list[str] = [lambda x: x]",
        '    return """  # kept',
        "# kept",
        '"""',
        "def split(",
        "    é: str, many: dict[",
        "        str, int",
        "    ], few",
        "): ...",
    ]


@pytest.mark.parametrize(
    "signature",
    [
        "def f(a: int = 1, *, b: str) -> dict[str, int]: ...",
        "def f(a: (int)) -> (int): ...",
        "def f(a : int)->int: ...",
        'def f(a=" ->")->int: ...',
        'def f(a=") -> int: ") -> "int": ...',
        "def f() -> (\n    int\n    | str\n): ...",
        "def f(\n    a: int,\n    *b: int,\n    **c: int,\n) -> None: ...",
        "def f(a: 'int') -> lambda x: x: ...",
        "def é(a: int) -> int: ...",
        "@(lambda g: g)\ndef f(a: int, /) -> int:\n    def g(b: int) -> int: return b",
        "x = lambda a, *b: a\nasync def f(a: int) -> int: ...",
    ],
)
def test_every_signature_is_still_code_with_the_same_parameters(signature: str) -> None:
    before, after = (without_text(ast.parse(text)) for text in (signature, slim(signature)))
    assert ast.dump(after, include_attributes=True) == ast.dump(before, include_attributes=True)


@pytest.mark.parametrize("source", ["", '"""Only text."""\n', "# only a comment\n"])
def test_what_holds_no_code_is_still_code(source: str) -> None:
    assert ast.parse(slim(source)).body == []
