"""A certificate authority for as long as a sandbox lives."""

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files."""

    authority: Path
    """What clients trust."""
    certificate: Path
    """The certificate of 127.0.0.1, with its chain."""
    key: Path


def make_certificates(directory: Path) -> Certificates:
    """Make an authority that signs 127.0.0.1, in a directory that exists."""
    made = Certificates(
        authority=directory / "authority.pem",
        certificate=directory / "server.pem",
        key=directory / "server.key",
    )
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(made.authority))
    leaf.private_key_pem.write_to_path(str(made.key))
    for number, blob in enumerate(leaf.cert_chain_pems):
        blob.write_to_path(str(made.certificate), append=number > 0)
    return made
