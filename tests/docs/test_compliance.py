"""The findings of cdk-nag 2 in the app of "In a locked-down account".

Versions 2 and 3 have the same package name, so version 2 is downloaded separately, once, by hash.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest

from sandbox.project import ROOT
from tests.docs.code_blocks import DOCS, code_blocks

pytestmark = pytest.mark.slow

PAGE: Final = DOCS / "locked-down.md"
VERSION_2: Final = (
    "cdk-nag==2.38.2 --hash=sha256:d37f18ae9450f401bcc55d5d82138beee561486806579849cb9be25ff7565904"
)
APP: Final = "Validations.of(app)"
"""The beginning of the part that only version 3 supports."""
REPORT: Final = """
import json, cdk_nag
messages = app.synth().get_stack_by_name("Maintenance").messages
errors = [str(one.entry.data) for one in messages if str(one.level).endswith("ERROR")]
print(json.dumps([cdk_nag.__file__, errors]))
"""


@pytest.fixture(scope="module")
def version_2() -> Path:
    """Return the folder with cdk-nag 2."""
    folder = ROOT / ".sandbox" / "cdk-nag-2"
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            wanted, made = Path(scratch, "requirements.txt"), Path(scratch, "made")
            wanted.write_text(VERSION_2, encoding="utf-8")
            options = ["--no-deps", "--require-hashes", "--quiet", "--target", str(made)]
            command = [sys.executable, "-m", "pip", "install", *options, "-r", str(wanted)]
            subprocess.run(command, check=True)
            made.rename(folder)
    return folder


def errors_of_version_2(folder: Path, suppressions: str) -> list[str]:
    """Return the errors in the page's app, with these suppressions in place of version 3's."""
    (app,) = (block.text for block in code_blocks(PAGE, "python") if APP in block.text)
    text = app.partition(APP)[0]
    imports = "from cdk_nag import AwsSolutionsChecks, HIPAASecurityChecks, NIST80053R5Checks\n"
    assert imports in text
    program = f"import sys; sys.path.insert(0, {str(folder)!r})\n{text}{suppressions}{REPORT}"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    used, errors = json.loads(done.stdout.splitlines()[-1])
    assert used.startswith(str(folder))
    return [str(error) for error in errors]


def test_the_suppressions_of_the_page_cover_all_findings_of_version_2(version_2: Path) -> None:
    (suppressions,) = (block.text for block in code_blocks(PAGE, "py"))
    assert errors_of_version_2(version_2, suppressions) == []


def test_version_2_has_the_findings_that_the_page_lists(version_2: Path) -> None:
    """Without suppressions there are findings, so the other test proves something."""
    (suppressions,) = (block.text for block in code_blocks(PAGE, "py"))
    checks = suppressions.partition("no_inline =")[0]
    found = {error.partition(":")[0] for error in errors_of_version_2(version_2, checks)}
    assert found == {
        "AwsSolutions-IAM5[Resource",
        "HIPAA.Security-IAMNoInlinePolicy",
        "HIPAA.Security-LambdaDLQ",
        "NIST.800.53.R5-IAMNoInlinePolicy",
        "NIST.800.53.R5-LambdaDLQ",
    }
