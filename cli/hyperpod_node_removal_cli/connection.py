"""AWS clients, with profile and region as in the AWS CLI, and with errors as sentences."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import boto3
from botocore import exceptions
from botocore.config import Config

from hyperpod_node_removal_contract import escape
from hyperpod_node_removal_handler import aws

_CONFIG: Final = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"mode": "standard", "total_max_attempts": 5},
    user_agent_extra="hyperpod-node-removal-cli",
)

_ARN: Final = re.compile(r"arn:[^:]*:[^:]*:([^:]*)")
_EXPIRED: Final = "The AWS credentials have expired; log in again (aws sso login, for example)."
_INVALID: Final = "AWS does not recognize these credentials; check the profile and its account."
_NO_CREDENTIALS: Final = (
    "No AWS credentials were found; log in, or specify a profile with --profile."
)
_NOT_OBTAINED: Final = "The AWS credentials could not be obtained; check the profile."
_UNREACHABLE: Final = "AWS cannot be reached; check the region and the network."
_NOT_CALLED: Final = (
    "The AWS SDK could not make the call; check the profile, the files it refers to, and"
    " AWS_ENDPOINT_URL."
)

# Errors of services, by code, because they have no types of their own.
_CODES: Final = {
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "InvalidClientTokenId": _INVALID,
    "InvalidSignatureException": _INVALID,
    "SignatureDoesNotMatch": _INVALID,
    "UnrecognizedClientException": _INVALID,
}
# Errors of the SDK, by type; the first match counts.
_TYPES: Final[Mapping[type[Exception], str]] = {
    exceptions.NoCredentialsError: _NO_CREDENTIALS,
    exceptions.PartialCredentialsError: _NO_CREDENTIALS,
    exceptions.NoAuthTokenError: _NO_CREDENTIALS,
    exceptions.SSOError: _EXPIRED,
    exceptions.TokenRetrievalError: _EXPIRED,
    exceptions.LoginError: _EXPIRED,
    exceptions.CredentialRetrievalError: _NOT_OBTAINED,
    exceptions.UnknownCredentialError: _NOT_OBTAINED,
    exceptions.InvalidConfigError: _NOT_OBTAINED,
    exceptions.RefreshWithMFAUnsupportedError: _NOT_OBTAINED,
    exceptions.ProfileNotFound: "The profile was not found; run aws configure list-profiles.",
    exceptions.NoRegionError: "No region is configured; specify --region or set AWS_REGION.",
    exceptions.InvalidRegionError: "The region is not valid; specify another one with --region.",
    exceptions.SSLError: "AWS's certificate could not be verified; check AWS_CA_BUNDLE.",
    exceptions.ProxyConnectionError: "The proxy cannot be reached; check HTTPS_PROXY and NO_PROXY.",
    exceptions.ConnectionError: _UNREACHABLE,
    exceptions.HTTPClientError: _UNREACHABLE,
    exceptions.BotoCoreError: _NOT_CALLED,
}
# The service of each operation. The IAM action has the name of the operation.
_SERVICES: Final = {
    "DescribeCluster": "sagemaker",
    "ListClusterNodes": "sagemaker",
    "DescribeStacks": "cloudformation",
    "DescribeStackEvents": "cloudformation",
    "DescribeStackResources": "cloudformation",
    "FilterLogEvents": "logs",
}


class UnknownError(Exception):
    """The command could not get an answer. The text is a sentence for the user."""


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
        with self.explaining("the profile"), aws.map_errors("Session"):
            return self.make_session(profile_name=self.profile, region_name=region)

    def client_for(self, service: str, name: str) -> Any:
        """Return a client of a service in the region of `name`, if that is an ARN.

        Raises:
            UnknownError: another region is configured, or none, or the profile does not exist.
        """
        arn = _ARN.match(name)
        named = arn[1] if arn else None
        chosen = self._session.region_name
        if named and chosen and named != chosen:
            raise UnknownError(
                f"The ARN is in region {escape(named, 64)}, but the configured region is"
                f" {chosen}; specify --region {escape(named, 64)}."
            )
        with self.explaining(service), aws.map_errors("Session"):
            return self._session.client(service, region_name=named or chosen, config=_CONFIG)

    @contextmanager
    def explaining(self, what: str) -> Iterator[None]:
        """Raise errors of AWS and its SDK as `UnknownError`; `what` is the thing that is read."""
        try:
            yield
        except aws.AwsError as error:
            raise UnknownError(self.explanation(error, what)) from error
        except BrokenPipeError:  # of this command's output: botocore has its own type for AWS
            raise
        except (OSError, ValueError) as error:
            # From a credential process, a token file, or the address of an endpoint.
            detail = f"({type(error).__name__}: {escape(str(error))})"
            raise UnknownError(f"{_NOT_CALLED} {detail}") from error

    def explanation(self, error: aws.AwsError, what: str) -> str:
        """Return what happened and what to do, in sentences."""
        detail = f"({error.code}: {error.message})"
        if sentence := _known(error):
            return f"{sentence} {detail}"
        if isinstance(error, aws.ResourceNotFoundError) or is_missing_stack(error):
            region = self._session.region_name
            where = f" in region {region}" if region else ""
            return (
                f"{what[:1].upper()}{what[1:]} was not found{where}; check its name, the account"
                f" (--profile) and the region (--region). {detail}"
            )
        if isinstance(error, aws.AccessDeniedError):
            action = f"{_SERVICES.get(error.operation, 'aws')}:{error.operation}"
            return f"{action} is required but not allowed. {detail}"
        return f"{error.operation} failed: {error.code}: {error.message}"


def needs_login(error: aws.AwsError) -> bool:
    """Return whether the credentials are the problem, which retrying does not solve."""
    return _known(error) in {_EXPIRED, _INVALID, _NO_CREDENTIALS, _NOT_OBTAINED}


def is_missing_stack(error: aws.AwsError) -> bool:
    """Return whether the stack does not exist, for which CloudFormation has no error code."""
    return error.code == "ValidationError" and "does not exist" in error.message


def _known(error: aws.AwsError) -> str | None:
    cause = error.__cause__
    if isinstance(cause, exceptions.ClientError) and cause.operation_name != error.operation:
        return _NOT_OBTAINED  # a call of the SDK's own, such as AssumeRole
    by_type = (sentence for kind, sentence in _TYPES.items() if isinstance(cause, kind))
    return _CODES.get(error.code) or next(by_type, None)
