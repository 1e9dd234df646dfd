"""Which instances are called as the host names that stand where ids belong.

It is a help for people only: a set that has a host name in it is refused in any case.
"""

from collections.abc import Sequence

from hyperpod_node_removal_contract import join_names, validate_cluster_name
from hyperpod_node_removal_handler import aws
from hyperpod_node_removal_handler.cluster import Cluster


def instances_of(host_names: Sequence[str], cluster: object) -> str:
    """Return a sentence on what one listing shows of these hosts; nothing if it shows none.

    Of `ip-10-1-2-3.us-west-2.compute.internal` the first label counts: people also paste it alone.
    Whether a listing has `PrivateDnsHostname` at all is not certain (docs/assumptions.md).
    """
    if not host_names or not isinstance(cluster, str) or validate_cluster_name(cluster):
        return ""
    try:
        listing = Cluster(cluster, aws.client("sagemaker")).nodes()
    except aws.AwsError:
        return ""
    instances = {_label(node.private_dns_hostname): node.instance_id for node in listing.nodes}
    known = [
        f"{_label(name)}: {instance}"
        for name in host_names
        if (instance := instances.get(_label(name)))
    ]
    return f"The cluster's listing shows {join_names(known)}." if known else ""


def _label(host_name: str) -> str:
    return host_name.partition(".")[0]
