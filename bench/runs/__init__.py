"""A removal by each peer: `run(case)` gives what it answered, when, and after which calls."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench.runs import aws_custom_resource, bound, naive, ours, provider, scripts
from bench.scenario import Case, PeerResult


@dataclass(frozen=True)
class Peer:
    """A way to remove nodes."""

    name: str
    run: Callable[[Case], PeerResult]


BOUND: Final = Peer("bound", bound.run)
SAFE_BOUND: Final = Peer("safe bound", partial(bound.run, is_safe=True))
OURS: Final = Peer("this product", ours.run)
LISTS, DESCRIBES, FILTERS = (Peer(name, partial(scripts.run, name)) for name in scripts.LOOKS)
NAIVE: Final = Peer("crhelper, naive", naive.run)
AWS_CUSTOM_RESOURCE: Final = Peer("AwsCustomResource", aws_custom_resource.run)
PROVIDER: Final = Peer("CDK Provider", provider.run)
