"""The tables of `docs/contract.md`, generated from the contract and the constructs.

Names, values, and sentences come from the contract and from the docstrings of the constructs. What
a property allows comes from the function's own error for a value that is not allowed.

`python -m release.contract_reference` updates the page.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import hyperpod_node_removal
import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._attributes import RemovalAttributes
from hyperpod_node_removal._warnings import RemovalWarning
from hyperpod_node_removal_contract import Attribute, FailureCode, Outcome, Property
from hyperpod_node_removal_contract.properties import BY_KEY, BY_NAME, Row
from hyperpod_node_removal_handler.request import RemovalRequest, RequestError

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "contract.md"

_NOT_ALLOWED: Final = ({"workers": "?"}, "?", "?" * (contract.RETRY_TOKEN_MAX + 1))
"""Each property rejects one of these values, with an error that says what it allows."""
_ALLOWED: Final = "allowed: "
_PLACE: Final = re.compile(r"(<!-- table: ([a-z]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def updated(markdown: str) -> str:
    """Return a page with new text in each table between its markers.

    Raises:
        KeyError: there is no table of that name.
    """
    texts = tables()
    return _PLACE.sub(lambda place: f"{place[1]}\n{texts[place[2]]}\n\n{place[3]}", markdown)


def tables() -> dict[str, str]:
    """Return the tables by name, in Markdown."""
    return {
        "properties": _table(
            ["property", "meaning", "allowed", "default"],
            (
                (f"`{name}`", row.meaning, _escaped(allowed(name)), _default(row))
                for name, row in BY_NAME.items()
            ),
        ),
        "keys": _table(
            ["key", "meaning"], ((f"`{key}`", row.meaning) for key, row in BY_KEY.items())
        ),
        "attributes": _table(["attribute", "in Python", "value"], _attributes()),
        "outcomes": _table(["outcome", "meaning"], _members(Outcome)),
        "codes": _table(
            ["code", "what happened", "what to do"],
            ((f"`{code}`", code.what_happened, code.next_step) for code in FailureCode),
        ),
        "warnings": _table(
            ["id", "`RemovalWarning`", "what it says"],
            (
                (f"`{RemovalWarning[name]}`", f"`{name}`", text)
                for name, text in documented(inspect.getsource(RemovalWarning)).items()
            ),
        ),
        "limits": _table(["limit", "value", "meaning"], _limits()),
        "classes": "\n\n".join(_classes()),
    }


def documented(source: str) -> dict[str, str]:
    """Return the names that a class body or module assigns, each with the string after it."""
    tree: ast.Module | ast.ClassDef = ast.parse(textwrap.dedent(source))
    if len(tree.body) == 1 and isinstance(tree.body[0], ast.ClassDef):
        tree = tree.body[0]
    found: dict[str, str] = {}
    name = ""
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = ""
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                found[name] = " ".join(text.split())
                name = ""
            case _:
                name = ""
    return found


def allowed(name: Property) -> str:
    """Return what a property allows, from the error of the function for anything else."""
    for value in _NOT_ALLOWED:
        try:
            RemovalRequest.from_properties({Property.CLUSTER_NAME: "ml-cluster", name: value})
        except RequestError as error:
            _, found, text = str(error).partition(_ALLOWED)
            if found:
                return text.rstrip(".")
    return ""


def _default(row: Row) -> str:
    if row.is_required:
        return "required"
    if isinstance(row.default, bool):
        return f"`{str(row.default).lower()}`"
    return "none" if row.default in (None, ()) else f"`{row.default}`"


def _attributes() -> Iterable[Sequence[str]]:
    texts = documented(inspect.getsource(RemovalAttributes))
    for attribute in Attribute:
        python_name = attribute.name.lower()
        yield f"`{attribute}`", f"`{python_name}`", texts[python_name]


def _limits() -> Iterable[Sequence[str]]:
    for name, text in documented(inspect.getsource(contract)).items():
        value = getattr(contract, name)
        if isinstance(value, int) and not name.startswith("_"):
            yield f"`{name}`", f"{value:,}", text


def _members(kind: type[StrEnum]) -> Iterable[Sequence[str]]:
    for name, text in documented(inspect.getsource(kind)).items():
        yield f"`{kind[name]}`", text


def _classes() -> Iterable[str]:
    """Yield the text on each public class, except enumerations that have a separate table."""
    for name in hyperpod_node_removal.__all__:
        kind = getattr(hyperpod_node_removal, name)
        if kind in (Outcome, RemovalWarning):
            continue
        yield f"### `{name}`"
        yield _summary(kind)
        if issubclass(kind, StrEnum):
            yield _table(["value", "meaning"], _members(kind))
            continue
        if arguments := list(_arguments(inspect.getdoc(kind.__init__) or "")):
            yield _table(["argument", "meaning"], arguments)
        if methods := list(_methods(kind)):
            yield _table(["method or property", "meaning"], methods)


def _methods(kind: type) -> Iterable[Sequence[str]]:
    """Yield the public methods and properties of this package; attributes have a separate table."""
    attributes = {attribute.name.lower() for attribute in Attribute}
    own = [base for base in kind.__mro__ if base.__module__.startswith("hyperpod_node_removal")]
    for name in dict.fromkeys(name for base in own for name in vars(base)):
        if name.startswith("_") or name in attributes:
            continue
        if isinstance(inspect.getattr_static(kind, name), property):
            yield f"`{name}`", _summary(getattr(kind, name))
        elif inspect.isroutine(getattr(kind, name)):
            yield f"`{name}()`", _summary(getattr(kind, name))


def _summary(member: object) -> str:
    """Return the first paragraph of a docstring, as one line."""
    text = (inspect.getdoc(member) or "").partition("\n\n")[0]
    return re.sub("::$", ".", " ".join(text.split()))


def _arguments(doc: str) -> Iterable[Sequence[str]]:
    """Yield the entries of the section `Args` of a docstring."""
    _, _, section = doc.partition("Args:\n")
    section = re.split(r"^\S", section, maxsplit=1, flags=re.MULTILINE)[0]
    for entry in re.split(r"^ {4}(?=\S)", section, flags=re.MULTILINE)[1:]:
        name, _, text = entry.partition(": ")
        yield f"`{name}`", " ".join(text.split())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "&#124;").replace("*", "&#42;")


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
