"""What `-c key=value` on the command line asks for."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal_contract.properties import BY_KEY
from hyperpod_node_removal_file import (
    Settings,
    SettingsError,
    given_values,
    read_removal_file,
    settings_from,
)

REMOVALS: Final = "removals"
"""Context key of a file that holds all the others."""

_NEAR: Final = 0.7
"""Similarity from which a context key counts as a misspelled one of ours."""


def settings_from_context(context: Mapping[str, Any], folder: Path) -> Settings:
    """The settings that the context of an app describes. A file is looked for from `folder`.

    Raises:
        SettingsError: it does not describe a removal.
    """
    _refuse_misspelled_keys(context)
    keys = [key for key in BY_KEY if context.get(key) is not None]
    file = context.get(REMOVALS)
    if file is None:
        if not keys:
            raise SettingsError(
                "nothing to deploy; give -c cluster=NAME -c node_ids=ID,ID or -c removals=FILE"
            )
        given = given_values({key: context[key] for key in keys}, "-c ")
        return settings_from(given, "the command line")
    if keys:
        raise SettingsError(
            f"-c {REMOVALS} names a file, which must contain every key; also given:"
            f" {', '.join(f'-c {key}' for key in keys)}; allowed: the file or the keys, not both"
        )
    if not isinstance(file, str) or not file:
        raise SettingsError(f"-c {REMOVALS}: {contract.quote(file)} is not the path of a file")
    name = contract.escape(file)
    return read_removal_file(folder / file, name).settings


def _refuse_misspelled_keys(context: Mapping[str, Any]) -> None:
    """Refuse what is nearly one of our keys.

    The context is shared with the CDK and with a user's `~/.cdk.json`, so an unknown key alone is
    no mistake. A list of nodes that is ignored because of a typing error is one.
    """
    known = [REMOVALS, *BY_KEY]
    for key in context:
        near = get_close_matches(key.lower(), known, n=1, cutoff=_NEAR)
        if near and key not in known:
            raise SettingsError(
                f"-c {contract.escape(key, 80)}: unknown key, perhaps {near[0]};"
                f" allowed: {', '.join(known)}"
            )
