"""`git status` is clean after the examples have run in a checkout."""

import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from sandbox.project import ROOT
from tests.docs.code_blocks import DOCS, commands

TEMPLATES = ROOT / "examples" / "cloudformation" / "README.md"


def generated() -> Iterator[Path]:
    """Yield the files that the CDK CLI and the `package` commands of the docs write."""
    for settings in (ROOT / "cdk.json", *ROOT.glob("examples/**/cdk.json")):
        if "node_modules" not in settings.parts:
            yield settings.parent / "cdk.context.json"
            yield settings.parent / "cdk.out" / "manifest.json"
    for page, folder in ((DOCS / "cloudformation.md", ROOT), (TEMPLATES, TEMPLATES.parent)):
        for words in commands(page):
            for option, value in pairwise(words):
                if option == "--output-template-file":
                    yield folder / value


def test_git_ignores_the_files_that_the_commands_of_the_docs_generate() -> None:
    paths = list(generated())
    assert len(paths) >= 8
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", *paths],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert set(done.stdout.split()) == {str(path) for path in paths}
