"""Ways to remove nodes: `run(case)` returns the reply of each, its time, and its calls."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench.peers import bound, cdk, functions, scripts
from bench.scenario import Case, PeerResult


@dataclass(frozen=True)
class Peer:
    """A way to remove nodes, in its best ordinary form."""

    name: str
    run: Callable[[Case], PeerResult]


BOUND: Final = Peer("bound", bound.run)
SAFE_BOUND: Final = Peer("safe bound", partial(bound.run, is_safe=True))
OURS: Final = Peer("this product", functions.run_ours)
LISTS: Final = Peer("list script", partial(scripts.run, scripts.list_cluster))
DESCRIBES: Final = Peer("describe script", partial(scripts.run, scripts.describe_each))
FILTERS: Final = Peer("filter script", partial(scripts.run, scripts.list_group))
NAIVE: Final = Peer("crhelper, naive", functions.run_naive)
AWS_CUSTOM_RESOURCE: Final = Peer("AwsCustomResource", cdk.run_aws_custom_resource)
PROVIDER: Final = Peer("CDK Provider", cdk.run_provider)
