"""Source code without what is there for readers of the repository: a quarter of the asset.

Every statement stays on its line, so a traceback in the function's log points at the same line
of the repository, and shows it. See docs/adr/0012.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

_BEHIND_CODE: Final = re.compile(r"  # [^\"']*$")
"""A comment behind a line of code. In a string on one line a quotation mark would follow."""


def slim(source: str) -> str:
    """`source` with docstrings and comments blanked, and functions without annotations."""
    nodes = list(ast.walk(ast.parse(source)))
    texts = _lines_inside_strings(nodes)
    code = source.splitlines()
    for row, begin, end in sorted(_annotations(nodes, code), reverse=True):
        code[row] = code[row][:begin] + code[row][end:]
    lines = [
        line
        if number in texts
        else ""
        if line.lstrip().startswith("#")
        else _BEHIND_CODE.sub("", line)
        for number, line in enumerate(code, start=1)
    ]
    for text, is_whole_body in _texts(nodes):
        for number in range(text.lineno, (text.end_lineno or 0) + 1):
            lines[number - 1] = ""
        if is_whole_body:
            lines[text.lineno - 1] = f"{' ' * text.col_offset}..."
    return "\n".join(lines).rstrip("\n") + "\n" if lines else ""


def _annotations(nodes: Iterable[ast.AST], lines: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Row, begin and end of each type in the signature of a function.

    One that is on several lines, in brackets, or not written as a formatter writes it stays.
    """
    for node in nodes:
        if isinstance(node, ast.arg):
            kind, before, mark = node.annotation, node.arg, ": "
        elif isinstance(node, ast.FunctionDef):
            kind, before, mark = node.returns, ")", " -> "
        else:
            continue
        if kind is None or kind.end_col_offset is None or kind.end_lineno != kind.lineno:
            continue
        row, begin = kind.lineno - 1, kind.col_offset
        # Offsets are of bytes.
        if lines[row].isascii() and lines[row][:begin].endswith(before + mark):
            yield row, begin - len(mark), kind.end_col_offset


def _texts(nodes: Iterable[ast.AST]) -> Iterator[tuple[ast.stmt, bool]]:
    """Statements that are nothing but text, and whether each is all there is in a body."""
    for node in nodes:
        given = getattr(node, "body", None)
        body = given if isinstance(given, list) else []
        for statement in body:
            if _is_text(statement):
                yield statement, len(body) == 1 and not isinstance(node, ast.Module)


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _lines_inside_strings(nodes: Iterable[ast.AST]) -> set[int]:
    """Lines on which a `#` may be part of a string that has several."""
    return {
        number
        for node in nodes
        if isinstance(node, (ast.Constant, ast.JoinedStr))  # quicker than a union
        if (end := node.end_lineno or 0) > node.lineno
        for number in range(node.lineno, end + 1)
    }
