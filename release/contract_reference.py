"""The tables of the contract reference, made from the code that keeps the contract.

Names, values and sentences come from `contract` and from the docstrings of the constructs. What a
property allows is what the function itself answers to a value that is not allowed.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from constructs import Construct

import hyperpod_node_removal
import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._attributes import RemovalAttributes
from hyperpod_node_removal._warnings import RemovalWarning
from hyperpod_node_removal_contract import Attribute, FailureCode, Outcome, Property
from hyperpod_node_removal_contract.properties import BY_KEY, BY_NAME, Row
from hyperpod_node_removal_handler.request import RemovalRequest, RequestError

_NOT_ALLOWED: Final = ({"workers": "?"}, "?", "?" * (contract.RETRY_TOKEN_MAX + 1))
"""Values one of which each property refuses with what it allows."""
_ALLOWED: Final = "allowed: "
_PLACE: Final = re.compile(r"<!-- table: ([a-z]+) -->")


def filled(markdown: str) -> str:
    """A page with each `<!-- table: NAME -->` replaced by that table.

    Raises:
        KeyError: there is no table of that name.
    """
    return _PLACE.sub(lambda place: TABLES[place[1]](), markdown)


def documented(source: str) -> dict[str, str]:
    """The names that a class body or module assigns, with the string that follows each."""
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
    """What a property allows, in the words with which the function refuses anything else."""
    for value in _NOT_ALLOWED:
        try:
            RemovalRequest.from_properties({Property.CLUSTER_NAME: "ml-cluster", name: value})
        except RequestError as error:
            _, is_told, told = str(error).partition(_ALLOWED)
            if is_told:
                return told.rstrip(".")
    return ""


def _properties() -> Iterable[Sequence[str]]:
    for name, row in BY_NAME.items():
        default = "required" if row.is_required else _default(row)
        yield f"`{name}`", row.meaning, _escaped(allowed(name)), default


def _keys() -> Iterable[Sequence[str]]:
    return ((f"`{key}`", row.meaning) for key, row in BY_KEY.items())


def _default(row: Row) -> str:
    if isinstance(row.default, bool):
        return str(row.default).lower()
    return str(row.default) if row.default else "none"


def _attributes() -> Iterable[Sequence[str]]:
    for attribute in Attribute:
        python_name = attribute.name.lower()
        told = inspect.getdoc(getattr(RemovalAttributes, python_name)) or ""
        yield f"`{attribute}`", f"`{python_name}`", told.removesuffix(" A token.")


def _codes() -> Iterable[Sequence[str]]:
    for code in FailureCode:
        yield f"`{code}`", code.what_happened, code.next_step


def _warnings() -> Iterable[Sequence[str]]:
    for name, text in documented(inspect.getsource(RemovalWarning)).items():
        yield f"`{RemovalWarning[name]}`", f"`RemovalWarning.{name}`", text


def _limits() -> Iterable[Sequence[str]]:
    for name, text in documented(inspect.getsource(contract)).items():
        value = getattr(contract, name)
        if isinstance(value, int) and not name.startswith("_"):
            yield f"`{name}`", f"{value:,}", text


def _members(kind: type[StrEnum]) -> Iterable[Sequence[str]]:
    for name, text in documented(inspect.getsource(kind)).items():
        yield f"`{kind[name]}`", text


def _constructs() -> Iterable[str]:
    for name in hyperpod_node_removal.__all__:
        kind = getattr(hyperpod_node_removal, name)
        if not (inspect.isclass(kind) and issubclass(kind, Construct)):
            continue
        yield f"### `{name}`"
        yield (inspect.getdoc(kind) or "").partition("\n\n")[0]
        yield _table(["argument", "meaning"], _arguments(inspect.getdoc(kind.__init__) or ""))


def _arguments(doc: str) -> Iterable[Sequence[str]]:
    """The entries of the section `Args` of a docstring."""
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


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "properties": lambda: _table(["property", "meaning", "allowed", "default"], _properties()),
    "attributes": lambda: _table(["attribute", "in Python", "value"], _attributes()),
    "outcomes": lambda: _table(["outcome", "meaning"], _members(Outcome)),
    "codes": lambda: _table(["code", "what happened", "what to do"], _codes()),
    "warnings": lambda: _table(["id", "in Python", "what it says"], _warnings()),
    "limits": lambda: _table(["limit", "value", "meaning"], _limits()),
    "constructs": lambda: "\n\n".join(_constructs()),
    "keys": lambda: _table(["key", "meaning"], _keys()),
}
"""The tables by name, in Markdown."""
