"""The way to the Kubernetes API of an EKS cluster: address, authority, token."""

import base64
from typing import Any

import boto3
from botocore.signers import RequestSigner

from .kubernetes import Kubernetes

_TOKEN_SECONDS = 60
"""How long a token may be used for the first time. EKS takes it for 15 minutes."""


def connect(cluster_arn: str) -> Kubernetes:
    """A client of the cluster's API. It signs a token for each call, which costs no call itself."""
    name = cluster_arn.partition(":cluster/")[2]
    cluster = boto3.client("eks").describe_cluster(name=name)["cluster"]
    sts = boto3.client("sts")
    return Kubernetes(
        cluster["endpoint"],
        authority=base64.b64decode(cluster["certificateAuthority"]["data"]).decode("ascii"),
        token=lambda: token(sts, name),
    )


def token(sts: Any, cluster: str) -> str:
    """A bearer token: a presigned GetCallerIdentity, which EKS calls to learn who asks.

    The signed header binds it to one cluster.
    """
    signer = RequestSigner(
        sts.meta.service_model.service_id,
        sts.meta.region_name,
        "sts",
        "v4",
        boto3.Session().get_credentials(),
        sts.meta.events,
    )
    url = signer.generate_presigned_url(
        {
            "method": "GET",
            "url": f"{sts.meta.endpoint_url}/?Action=GetCallerIdentity&Version=2011-06-15",
            "body": {},
            "headers": {"x-k8s-aws-id": cluster},
            "context": {},
        },
        region_name=sts.meta.region_name,
        expires_in=_TOKEN_SECONDS,
        operation_name="",
    )
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
