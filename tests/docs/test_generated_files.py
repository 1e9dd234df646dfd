"""After the examples were run in a checkout, `git status` is clean."""

import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from sandbox.project import ROOT
from tests.docs.code_blocks import DOCS, commands

TEMPLATES = ROOT / "examples" / "cloudformation" / "README.md"


def generated() -> Iterator[Path]:
    """What the CDK CLI writes next to an app, and the AWS CLI where a command of a page says."""
    for settings in (ROOT / "cdk.json", *ROOT.glob("examples/**/cdk.json")):
        if "node_modules" not in settings.parts:
            yield settings.parent / "cdk.context.json"
            yield settings.parent / "cdk.out" / "manifest.json"
    for page, folder in ((DOCS / "cloudformation.md", ROOT), (TEMPLATES, TEMPLATES.parent)):
        for words in commands(page):
            for option, value in pairwise(words):
                if option == "--output-template-file":
                    yield folder / value


def test_git_ignores_what_the_commands_of_the_docs_generate() -> None:
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
