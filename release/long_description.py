"""The long description of the package: README.md, with links that work outside the repository.

hatchling calls it for the wheel and the sdist (`[tool.hatch.metadata.hooks.custom]`). The address
is the `Repository` of `[project.urls]`. Without one, links to files are plain text.
"""

import re
from pathlib import Path
from typing import Any, Final

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK: Final = re.compile(
    r"(?P<code>^```.*?^```|`[^`\n]+`)|\[(?P<label>[^\]]+)\]\((?![a-z]+:|#)(?P<path>[^)\s]+)\)",
    re.MULTILINE | re.DOTALL,
)
"""Code, which has no links, or a link to a file of the repository."""


class LongDescription(MetadataHookInterface):
    """Sets `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Read README.md, and point its links to the repository."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        address = metadata.get("urls", {}).get("Repository", "")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": with_links(text, address),
        }


def with_links(markdown: str, repository: str) -> str:
    """Return the text with its relative links pointing to the repository, or as plain text."""

    def outside(found: re.Match[str]) -> str:
        if found["code"]:
            return found[0]
        if not repository:
            return found["label"]
        return f"[{found['label']}]({repository.rstrip('/')}/blob/HEAD/{found['path']})"

    return _LINK.sub(outside, markdown)
