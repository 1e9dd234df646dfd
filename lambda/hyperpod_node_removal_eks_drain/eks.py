"""The way to the Kubernetes API of an EKS cluster: address, authority, token."""

import base64

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session, get_session
from botocore.signers import RequestSigner

from hyperpod_node_removal_eks_drain.kubernetes import ApiError, Kubernetes

_TOKEN_SECONDS = 60
"""How long a token may be used for the first time. EKS takes it for 15 minutes."""


def connect(name: str) -> Kubernetes:
    """Make a client of a cluster's API. It signs a token for each call, which costs no call itself.

    Raises:
        ApiError: the cluster cannot be described.
    """
    session = get_session()
    try:
        cluster = session.create_client("eks").describe_cluster(name=name)["cluster"]
        sts = session.create_client("sts")
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        raise ApiError(f"describe EKS cluster {name}", status, str(error)) from error
    except BotoCoreError as error:
        raise ApiError(f"describe EKS cluster {name}", 0, str(error)) from error
    return Kubernetes(
        cluster["endpoint"],
        authority=base64.b64decode(cluster["certificateAuthority"]["data"]).decode("ascii"),
        token=lambda: token(session, sts, name),
    )


def token(session: Session, sts: BaseClient, cluster: str) -> str:
    """Make a bearer token: a presigned GetCallerIdentity, which EKS calls to learn who asks.

    The signed header binds it to one cluster.
    """
    signer = RequestSigner(
        sts.meta.service_model.service_id,
        sts.meta.region_name,
        "sts",
        "v4",
        session.get_credentials(),
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
