"""The documentation builds without warnings, and its pages load nothing from other sites."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from mkdocs.config import load_config
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from release import docs_site
from sandbox.project import ROOT

LOADED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}
"""Elements that load a file, and their attributes with its URL."""


class Elements(HTMLParser):
    """The URLs that a page loads and links to, and its ids and classes."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.classes: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.classes |= set(given.get("class", "").split())
        if "id" in given:
            self.ids.add(given["id"])
        if tag in LOADED and LOADED[tag] in given:
            self.loaded.append(given[LOADED[tag]])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Elements]:
    found = {path: Elements(path) for path in site.rglob("*.html")}
    assert len(found) > 5
    return found


def is_external(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.netloc) or parts.scheme not in {"", "data"}


def test_nothing_is_loaded_from_other_sites(site: Path, pages: dict[Path, Elements]) -> None:
    """The theme would load mermaid for a text diagram, and statistics for a repository link."""
    loaded = {url for page in pages.values() for url in page.loaded}
    assert loaded
    for sheet in site.rglob("*.css"):
        form = r"(?:@import\s*|url\()[\"']?([^\"')]+)"
        loaded |= set(re.findall(form, sheet.read_text("utf-8")))
    assert [url for url in loaded if is_external(url)] == []
    for page in pages.values():
        assert page.classes.isdisjoint({"mermaid", "md-source", "arithmatex"})


def test_every_internal_link_has_a_target(pages: dict[Path, Elements]) -> None:
    """mkdocs checks only links in Markdown, not those in HTML, of the theme, and to files."""
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # linked from the root, wherever that will be
            continue
        for link in page.links:
            parts = urlsplit(link)
            if is_external(link):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].ids if target in pages else set[str]()
            if not target.is_file() or (parts.fragment and parts.fragment not in anchors):
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_every_decision_record_is_in_the_navigation(pages: dict[Path, Elements]) -> None:
    (home,) = (page for path, page in pages.items() if path.name == "index.html")
    records = {f"adr/{record.stem}.html" for record in (ROOT / "docs" / "adr").glob("*.md")}
    assert records
    assert records <= set(home.links)


def test_every_page_has_the_icon(site: Path, pages: dict[Path, Elements]) -> None:
    icon = site / "assets" / "favicon.svg"
    assert icon.stat().st_size < 1_000
    for path, page in pages.items():
        if path.name != "404.html":
            assert any((path.parent / url).resolve() == icon for url in page.loaded), path


def test_files_outside_the_site_are_linked_if_the_repository_has_an_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = (
        "[`examples/pipelines`](../examples/pipelines), [the app](../app.py), [here](start.md#x)"
    )
    address = docs_site.repository_address
    assert not address('[project]\nname = "a"\n')
    assert render(given) == "`examples/pipelines`, the app (`app.py`), [here](start.md#x)"

    repository = "https://git.example.com/team/removal"
    pyproject = f'[project]\n[project.urls]\nRepository = "{repository}/"\n'
    monkeypatch.setattr(docs_site, "repository_address", lambda _: address(pyproject))
    assert render(given) == (
        f"[`examples/pipelines`]({repository}/blob/HEAD/examples/pipelines),"
        f" [the app]({repository}/blob/HEAD/app.py), [here](start.md#x)"
    )
    with pytest.raises(PluginError, match="no_such_file is not a file of the repository"):
        render("[a](../no_such_file)")


def render(markdown: str) -> str:
    """Return the Markdown of a page as it is built into the site."""
    config = load_config(str(ROOT / "mkdocs.yml"))
    file = File("index.md", config.docs_dir, config.site_dir, use_directory_urls=False)
    page = Page(None, file, config)
    return docs_site.on_page_markdown(markdown, page=page, config=config, files=Files([file]))
