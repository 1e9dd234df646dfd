"""Source code without the text for readers of the repository, which is a quarter of the asset.

Every line of code stays on its line, so a traceback in the function's log points at the same line
of the repository, and shows it. Only whole lines are blanked: names, types and what stands behind
a line of code remain. See docs/adr/0012.
"""

import ast
from collections.abc import Iterator


def slim(source: str) -> str:
    """`source` with docstrings and lines of comment blanked."""
    tree = ast.parse(source)
    lines = source.splitlines()
    texts = _lines_inside_strings(tree)
    blank = set(_docstring_lines(tree)) | {
        number
        for number, line in enumerate(lines, start=1)
        if line.lstrip().startswith("#") and number not in texts
    }
    kept = ("" if number in blank else line for number, line in enumerate(lines, start=1))
    return "\n".join(kept).rstrip("\n") + "\n" if lines else ""


def _docstring_lines(tree: ast.Module) -> Iterator[int]:
    """Lines of statements that are nothing but text, but for those that are a whole body."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list) or (len(body) == 1 and not isinstance(node, ast.Module)):
            continue
        for statement in body:
            if _is_text(statement):
                yield from range(statement.lineno, (statement.end_lineno or 0) + 1)


def _is_text(statement: ast.AST) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _lines_inside_strings(tree: ast.Module) -> set[int]:
    """Lines on which a `#` at the beginning may be part of a string."""
    return {
        number
        for node in ast.walk(tree)
        if isinstance(node, (ast.Constant, ast.JoinedStr))  # quicker than a union
        for number in range(node.lineno + 1, (node.end_lineno or 0) + 1)
    }
