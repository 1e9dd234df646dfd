"""The envelope of a custom resource event: where the reply goes, and which resource it is about."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

from hyperpod_node_removal_contract import PHYSICAL_RESOURCE_ID_MAX, escape

_REQUIRED: Final = ("StackId", "RequestId", "LogicalResourceId", "ResponseURL")
_URL_LIFETIME: Final = 7200.0
"""Seconds for which a presigned response URL is good."""
_STACK_ID: Final = r"arn:[a-z-]+:cloudformation:[^:/]*:[^:/]*:stack/([^/]+)/([^/]+)"


class EnvelopeError(ValueError):
    """The event lacks what is needed to answer it at all."""


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """An event without its properties."""

    request_type: str
    """`Create`, `Update` or `Delete`."""
    stack_id: str
    request_id: str
    logical_resource_id: str
    response_url: str = field(repr=False)
    """Presigned: anyone who has it can reply in the function's name. Never logged."""
    physical_resource_id: str
    """The same in every reply for the resource: CloudFormation takes a new one as a replacement."""

    @classmethod
    def from_event(cls, event: object) -> Self:
        """Read an event.

        Raises:
            EnvelopeError: it lacks what is needed to answer it at all.
        """
        if not isinstance(event, Mapping):
            raise EnvelopeError("The event is not a map.")
        for key in _REQUIRED:
            if not isinstance(event.get(key), str) or not event[key]:
                raise EnvelopeError(f"The event has no {key}, so it is not from CloudFormation.")
        stack_id, logical_id = event["StackId"], event["LogicalResourceId"]
        given = event.get("PhysicalResourceId")
        return cls(
            request_type=str(event.get("RequestType", "")),
            stack_id=stack_id,
            request_id=event["RequestId"],
            logical_resource_id=logical_id,
            response_url=event["ResponseURL"],
            physical_resource_id=given
            if isinstance(given, str) and given
            else derived_physical_resource_id(stack_id, logical_id),
        )

    @property
    def sent_at(self) -> float | None:
        """When CloudFormation sent the request, in seconds since the epoch.

        None if the URL has neither `X-Amz-Date` nor `Expires`.
        """
        try:
            query = parse_qs(urlsplit(self.response_url).query)
            if dates := query.get("X-Amz-Date"):
                date = datetime.strptime(dates[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
                return date.timestamp()
            return float(int(query["Expires"][0])) - _URL_LIFETIME
        except (KeyError, ValueError, OverflowError):
            return None

    def as_event(self, properties: object) -> dict[str, object]:
        """Return the event with these properties and the keys that CloudFormation sends."""
        return {
            "RequestType": self.request_type,
            "StackId": self.stack_id,
            "RequestId": self.request_id,
            "LogicalResourceId": self.logical_resource_id,
            "PhysicalResourceId": self.physical_resource_id,
            "ResponseURL": self.response_url,
            "ResourceProperties": properties,
        }


def derived_physical_resource_id(stack_id: str, logical_resource_id: str) -> str:
    """Return the physical resource id of a resource that is being created.

    It depends on nothing that can change during the life of the resource, so a reply after a crash
    or a timeout has the same one. For example
    `hyperpod-node-removal/ml-stack/Removal4F2A91C0/6d1f0c2e`.
    """
    stack = re.match(_STACK_ID, stack_id)
    name, unique = (stack[1], stack[2].split("-")[0]) if stack else (stack_id, "0")
    readable = f"hyperpod-node-removal/{name}/{logical_resource_id}/{unique}"
    return escape(readable, PHYSICAL_RESOURCE_ID_MAX)
