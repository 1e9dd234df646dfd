"""How mkdocs builds the site of this repository: it calls the `on_*` functions (see mkdocs.yml)."""

import re
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parents[1]
DECISIONS: Final = "adr"
_LINK_OUTSIDE: Final = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)#\s]*)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the decision records, so that a new one needs no line in mkdocs.yml."""
    folder = Path(config.docs_dir, DECISIONS)
    records = [f"{DECISIONS}/{record.name}" for record in sorted(folder.glob("*.md"))]
    config.nav = [
        {title: records if target == DECISIONS else target for title, target in entry.items()}
        if isinstance(entry, dict)
        else entry
        for entry in config.nav or []
    ]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the changelog, which stands at the top of the repository."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "changelog.md", content=changelog))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Name files of the repository that a page links but the site lacks.

    Raises:
        PluginError: there is no such file.
    """
    if page.file.abs_src_path is None:
        return markdown
    docs = Path(config.docs_dir).resolve()
    folder = Path(page.file.abs_src_path).resolve().parent

    def named(link: re.Match[str]) -> str:
        label, target = link[1], (folder / link[2]).resolve()
        if target.is_relative_to(docs):
            return link[0]
        if not target.is_relative_to(ROOT) or not target.exists():
            raise PluginError(f"{page.file.src_uri}: {link[2]} is not a file of the repository")
        path = f"`{target.relative_to(ROOT).as_posix()}`"
        return path if label.strip("`") == path.strip("`") else f"{label} ({path})"

    return _LINK_OUTSIDE.sub(named, markdown)
