"""The way to AWS: profile and region as the AWS CLI takes them, and errors as sentences."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import boto3
from botocore.config import Config

from hyperpod_node_removal_handler import aws
from hyperpod_node_removal_handler.contract import printable

_CONFIG: Final = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"mode": "standard", "total_max_attempts": 5},
    user_agent_extra="hyperpod-node-removal-cli",
)

_ARN_REGION: Final = 3
"""Index of the region among the parts of an ARN."""
_NO_CREDENTIALS: Final = frozenset(
    {
        "CredentialRetrievalError",
        "NoAuthTokenError",
        "NoCredentialsError",
        "PartialCredentialsError",
    }
)
_EXPIRED: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "SSOError",
        "SSOTokenLoadError",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
    }
)
_UNKNOWN_CREDENTIALS: Final = frozenset(
    {
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_NO_CONNECTION: Final = frozenset(
    {
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "EndpointConnectionError",
        "ProxyConnectionError",
        "ReadTimeoutError",
        "SSLError",
    }
)
# Which IAM action an operation needs. It is the operation's name in each of these services.
_SERVICES: Final = {
    "DescribeCluster": "sagemaker",
    "ListClusterNodes": "sagemaker",
    "DescribeStacks": "cloudformation",
    "DescribeStackEvents": "cloudformation",
    "DescribeStackResources": "cloudformation",
    "FilterLogEvents": "logs",
    "GetLogEvents": "logs",
}


class UnknownError(Exception):
    """It could not be found out. The text is a sentence for people."""


@dataclass(frozen=True)
class Connection:
    """Clients of one profile and region."""

    profile: str | None = None
    region: str | None = None
    make_session: Callable[..., Any] = boto3.Session

    @cached_property
    def _session(self) -> Any:
        # boto3 does not know AWS_REGION, which the AWS CLI prefers to AWS_DEFAULT_REGION.
        region = self.region or os.environ.get("AWS_REGION") or None
        with self.explaining("the profile"), aws.translated("Session"):
            return self.make_session(profile_name=self.profile, region_name=region)

    def client_for(self, service: str, name: str) -> Any:
        """A client of a service where the thing of this name is: an ARN names its region.

        Raises:
            UnknownError: the region is another one, there is none, or there is no such profile.
        """
        parts = name.split(":")
        named = parts[3] if len(parts) > _ARN_REGION and parts[0] == "arn" else None
        chosen = self._session.region_name
        if named and chosen and named != chosen:
            raise UnknownError(
                f"The ARN is one of region {printable(named, 64)}, but the region is {chosen};"
                f" give --region {printable(named, 64)}."
            )
        with self.explaining(service), aws.translated("Session"):
            return self._session.client(service, region_name=named or chosen, config=_CONFIG)

    @contextmanager
    def explaining(self, what: str) -> Iterator[None]:
        """Raise what AWS does not do as `UnknownError`; `what` is what was looked for."""
        try:
            yield
        except aws.AwsError as error:
            raise UnknownError(self.explanation(error, what)) from error

    def explanation(self, error: aws.AwsError, what: str) -> str:
        """A sentence on an error: what happened, and what to do."""
        for codes, sentence in _SENTENCES:
            if error.code in codes:
                return f"{sentence} ({error.code}: {error.message})"
        if isinstance(error, aws.ResourceNotFoundError) or "does not exist" in error.message:
            region = self._session.region_name
            where = f" in region {region}" if region else ""
            return (
                f"{_capital(what)} was not found{where}; check its name, the account (--profile)"
                " and the region (--region)."
                f" ({error.code}: {error.message})"
            )
        if isinstance(error, aws.AccessDeniedError):
            action = f"{_SERVICES.get(error.operation, 'aws')}:{error.operation}"
            return f"{action} is not allowed, and is needed. ({error.code}: {error.message})"
        return f"{error.operation} failed: {error.code}: {error.message}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_SENTENCES: Final = (
    (
        _NO_CREDENTIALS,
        "There are no AWS credentials; log in, or choose a profile with --profile.",
    ),
    (_EXPIRED, "The AWS credentials have expired; log in again (aws sso login, for example)."),
    (
        _UNKNOWN_CREDENTIALS,
        "AWS does not know these credentials; check the profile and its account.",
    ),
    ({"ProfileNotFound"}, "There is no such profile; see aws configure list-profiles."),
    ({"NoRegionError"}, "There is no region; give --region or set AWS_REGION."),
    ({"InvalidRegionError"}, "That is not a region; give another one with --region."),
    (_NO_CONNECTION, "AWS cannot be reached; check the region and the network."),
)
