"""Hooks for the documentation site: mkdocs calls the `on_*` functions (see mkdocs.yml)."""

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parents[1]
DECISIONS: Final = "adr"
WIDE: Final = {
    "index.md": ["navigation", "toc"],
    "assumptions.md": ["toc"],
    "benchmarks.md": ["toc"],
    "comparison.md": ["toc"],
}
"""Pages whose cards and tables need the space of a sidebar. It is not in their front matter, which
the repository would show."""
_WHOLE: Final = re.compile(r"<code>(?=[^<\s]+</code>|[^<]{1,40}</code>)")
_LINK_OUTSIDE: Final = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)#\s]*)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the decision records, so that a new one needs no line in mkdocs.yml."""
    folder = Path(config.docs_dir, DECISIONS)
    records = [f"{DECISIONS}/{record.name}" for record in sorted(folder.glob("*.md"))]
    config.nav = [_listed(entry, records) for entry in config.nav or []]
    return config


def _listed(entry: Any, records: list[str]) -> Any:
    """Return an entry of the navigation, with the records in place of their folder."""
    match entry:
        case dict():
            return {title: _listed(target, records) for title, target in entry.items()}
        case list():
            return [_listed(one, records) for one in entry]
    return records if entry == DECISIONS else entry


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the changelog, which is in the root of the repository."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "changelog.md", content=changelog))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Hide the sidebars of wide pages, and point links to files outside the site to the repository,
    or write the files' paths if it has no address.

    Raises:
        PluginError: there is no such file.
    """
    page.meta.setdefault("hide", WIDE.get(page.file.src_uri, []))
    if page.file.abs_src_path is None:
        return markdown
    docs = Path(config.docs_dir).resolve()
    folder = Path(page.file.abs_src_path).resolve().parent
    repository = repository_address((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    def outside(link: re.Match[str]) -> str:
        label, target = link[1], (folder / link[2]).resolve()
        if target.is_relative_to(docs):
            return link[0]
        if not target.is_relative_to(ROOT) or not target.exists():
            raise PluginError(f"{page.file.src_uri}: {link[2]} is not a file of the repository")
        path = target.relative_to(ROOT).as_posix()
        if repository:
            return f"[{label}]({repository}/blob/HEAD/{path}{link[3] or ''})"
        return f"`{path}`" if label.strip("`") == path else f"{label} (`{path}`)"

    return _LINK_OUTSIDE.sub(outside, markdown)


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Mark code that must not be wrapped in a table: identifiers, and anything short."""
    return _WHOLE.sub('<code class="whole">', html)


def repository_address(pyproject: str) -> str:
    """Return the address of the repository from the project's metadata, or an empty string."""
    urls: dict[str, str] = tomllib.loads(pyproject)["project"].get("urls", {})
    return urls.get("Repository", "").rstrip("/")
