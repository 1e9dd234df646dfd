"""How mkdocs builds the site of this repository: it calls the `on_*` functions (see mkdocs.yml)."""

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
"""Pages whose cards and tables get the room of a sidebar. Said here, not in front matter, which the
repository would show."""
_WHOLE: Final = re.compile(r"<code>(?=[^<\s]+</code>|[^<]{1,40}</code>)")
_LINK_OUTSIDE: Final = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)#\s]*)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the decision records, so that a new one needs no line in mkdocs.yml."""
    folder = Path(config.docs_dir, DECISIONS)
    records = [f"{DECISIONS}/{record.name}" for record in sorted(folder.glob("*.md"))]
    config.nav = [_listed(entry, records) for entry in config.nav or []]
    return config


def _listed(entry: Any, records: list[str]) -> Any:
    """Put the records where an entry of the navigation, at any depth, names their folder."""
    match entry:
        case dict():
            return {title: _listed(target, records) for title, target in entry.items()}
        case list():
            return [_listed(one, records) for one in entry]
    return records if entry == DECISIONS else entry


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the changelog, which stands at the top of the repository."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "changelog.md", content=changelog))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Give wide pages their room, and link files of the repository that the site lacks, or name
    them while the repository has no address.

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
    """Mark the code that a table must not break: identifiers, and anything short."""
    return _WHOLE.sub('<code class="whole">', html)


def repository_address(pyproject: str) -> str:
    """The address of the repository in the project's metadata, or nothing while it has none."""
    urls: dict[str, str] = tomllib.loads(pyproject)["project"].get("urls", {})
    return urls.get("Repository", "").rstrip("/")
