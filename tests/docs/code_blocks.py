"""The code blocks of the README and the documentation."""

import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox.project import ROOT

DOCS: Final = ROOT / "docs"
PAGES: Final = (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))

_BLOCK: Final = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_COMMAND: Final = re.compile(r"^\$ (.*(?:(?<=\\)\n.*)*)$", re.MULTILINE)


@dataclass(frozen=True)
class CodeBlock:
    """One fenced block."""

    page: Path
    line: int
    """The number of its first line of code, counted from 1."""
    language: str
    text: str

    @property
    def place(self) -> str:
        """The page and the line, for example `docs/start.md:17`."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command of a `console` block."""
        commands = (command.replace("\\\n", "") for command in _COMMAND.findall(self.text))
        return [shlex.split(command, comments=True) for command in commands]


def code_blocks(page: Path, *languages: str) -> list[CodeBlock]:
    """Return the blocks of a page, by default in all languages."""
    markdown = page.read_text(encoding="utf-8")
    return [
        block for block in _blocks(page, markdown) if not languages or block.language in languages
    ]


def all_code_blocks(*languages: str) -> list[CodeBlock]:
    """Return the blocks of all pages, by default in all languages."""
    return [block for page in PAGES for block in code_blocks(page, *languages)]


def commands(
    page: Path, *beginning: str, of: str = "", real: Mapping[str, str] | None = None
) -> list[list[str]]:
    """Return the words of the commands in a page's `console` blocks.

    Args:
        page: the page.
        beginning: the words with which each command begins.
        of: a text that occurs in their blocks.
        real: the reader's own values, by those that the page shows.
    """
    found = [
        [_replace_all(word, real or {}) for word in words]
        for block in code_blocks(page, "console")
        for words in block.commands
        if of in block.text and tuple(words[: len(beginning)]) == beginning
    ]
    assert found, (page, *beginning, of)
    return found


def _replace_all(text: str, real: Mapping[str, str]) -> str:
    for shown, value in real.items():
        text = text.replace(shown, value)
    return text


def _blocks(page: Path, markdown: str) -> Iterator[CodeBlock]:
    for found in _BLOCK.finditer(markdown):
        line = markdown.count("\n", 0, found.start(3)) + 1
        yield CodeBlock(page, line, found[2], textwrap.dedent(found[3]))


class TemplateLoader(yaml.SafeLoader):
    """A loader of templates that reads `!Ref` and other intrinsic functions as mappings."""


def _intrinsic(loader: TemplateLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    match node:
        case yaml.ScalarNode():
            value: Any = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case _:
            assert isinstance(node, yaml.MappingNode)
            value = loader.construct_mapping(node, deep=True)
    return {f"Fn::{tag}": value}


TemplateLoader.add_multi_constructor("!", _intrinsic)
