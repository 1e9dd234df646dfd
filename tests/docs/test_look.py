"""How the site looks in a real browser: on a laptop and on a phone, in light and in dark colors.

Needs Chromium (on Debian: `apt-get install chromium-headless-shell`). Without one, only what the
HTML alone shows is tested, and the skipped tests say why.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest

from sandbox.project import PATH
from tests.docs.code_blocks import all_code_blocks

pytestmark = pytest.mark.slow

COLUMNS: Final = 80
LAPTOP: Final = 1280
PHONE: Final = 390
BROWSERS: Final = ("chromium-headless-shell", "chromium", "google-chrome", "chrome")
BROWSER: Final = next(filter(None, map(shutil.which, BROWSERS)), None)
LOOK: Final = Path(__file__).with_name("look.mjs")

Page = Mapping[str, Any]


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep the test's output to what failed."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """The site on this machine, served as a host would."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def all_looked(site: Path, address: str) -> list[Page]:
    """What the browser found on each page, in each width, and on the first page in the dark."""
    if BROWSER is None:
        pytest.skip(
            "NOBODY LOOKED AT THE SITE: no Chromium on the PATH."
            " On Debian: apt-get install chromium-headless-shell"
        )
    urls = [f"{address}/{path.relative_to(site)}" for path in sorted(site.rglob("*.html"))]
    done = subprocess.run(
        ["node", LOOK, BROWSER],
        input=json.dumps(urls),
        env={"PATH": PATH, "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages: list[Page] = json.loads(done.stdout)
    assert {page["url"] for page in pages} == set(urls)
    return pages


@pytest.fixture(params=[LAPTOP, PHONE], ids=lambda width: f"{width}px")
def looked(request: pytest.FixtureRequest, all_looked: list[Page]) -> list[Page]:
    """What it found in one width, in light colors."""
    pages = [
        page for page in all_looked if (page["width"], page["scheme"]) == (request.param, "light")
    ]
    assert len(pages) == len({page["url"] for page in all_looked})
    return pages


def brightness(color: str) -> float:
    """Of a color as the browser returns it: `rgb(30, 33, 41)`."""
    return sum(map(int, color.removeprefix("rgb(").rstrip(")").split(","))) / 3


def test_nothing_is_cut_or_broken_or_wider_than_the_window(looked: list[Page]) -> None:
    """On a phone a table may be wider: it scrolls by itself, and its identifiers stay whole."""
    assert [page["url"] for page in looked if page["wider"] > 0] == []
    for kind in ("cut", "broken", *(("scrolled",) if looked[0]["width"] == LAPTOP else ())):
        assert {page["url"]: page[kind] for page in looked if page[kind]} == {}


def test_it_is_dark_where_the_system_is(all_looked: list[Page]) -> None:
    assert {page["scheme"] for page in all_looked} == {"light", "dark"}
    for page in all_looked:
        assert (brightness(page["background"]) < 128) is (page["scheme"] == "dark")


def test_decision_records_are_folded_until_one_is_open(looked: list[Page]) -> None:
    unfolded = {page["url"] for page in looked if page["decisions"]}
    if looked[0]["width"] == LAPTOP:  # a phone has the navigation in a drawer
        assert unfolded == {page["url"] for page in looked if "/adr/" in page["url"]}


def test_what_the_copy_button_copies_can_be_pasted_into_a_shell(
    all_looked: list[Page],
) -> None:
    copied = [text for page in all_looked for text in page["copied"]]
    assert len(copied) > 50
    assert [text for text in copied if not text or text.startswith("$ ") or "\n$ " in text] == []
    assert any(text.startswith("cdk deploy -c cluster=ml-cluster \\\n") for text in copied)


def test_code_is_at_most_80_columns_wide() -> None:
    wide = [
        block.place
        for block in all_code_blocks()
        if any(len(line) > COLUMNS for line in block.text.splitlines())
    ]
    assert wide == []
