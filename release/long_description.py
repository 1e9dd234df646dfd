"""The long description of the package: README.md, with links that work outside the repository.

hatchling calls it for the wheel and the sdist (`[tool.hatch.metadata.hooks.custom]`). The address
is the `Repository` of `[project.urls]`. While it is not set, the text stays as it is.
"""

import re
from pathlib import Path
from typing import Any, Final

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK: Final = re.compile(r"(\[[^\]]+\])\((?![a-z]+:|#)([^)\s]+)\)")


class LongDescription(MetadataHookInterface):
    """Sets `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Read README.md, and lead its links to the repository."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        address = metadata.get("urls", {}).get("Repository", "")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": with_links(text, address),
        }


def with_links(markdown: str, repository: str) -> str:
    """Return the text with its relative links leading to files of the repository, if it has one."""
    if not repository:
        return markdown
    return _LINK.sub(rf"\1({repository.rstrip('/')}/blob/HEAD/\2)", markdown)
