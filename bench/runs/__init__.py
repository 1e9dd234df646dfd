"""A removal by each peer on one scene: `run(case)` gives what it told, when, and after which calls.

Peers on paper are the same code that is measured here: `bench/peers`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.runs import aws_custom_resource, crhelper_peers, ours, provider, script
from bench.scene import Case, Told


@dataclass(frozen=True)
class Peer:
    """A way to remove nodes."""

    name: str
    run: Callable[[Case], Told]


OURS: Final = Peer(ours.NAME, ours.run)
FLOOR: Final = Peer(script.NAME, script.run)
NAIVE: Final = Peer(crhelper_peers.NAIVE, crhelper_peers.run_naive)
POLLER: Final = Peer(crhelper_peers.POLLER, crhelper_peers.run_poller)
AWS_CUSTOM_RESOURCE: Final = Peer(aws_custom_resource.NAME, aws_custom_resource.run)
PROVIDER: Final = Peer(provider.NAME, provider.run)

PEERS: Final = (OURS, FLOOR, NAIVE, POLLER, AWS_CUSTOM_RESOURCE, PROVIDER)
"""In the order of the tables."""
