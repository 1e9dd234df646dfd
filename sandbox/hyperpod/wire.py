"""SageMaker's protocol over HTTP: moto parses requests and serializes responses of the model."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from moto.core.request import Request as MotoRequest
from moto.core.responses import ActionResult
from moto.core.utils import camelcase_to_underscores
from moto.sagemaker.responses import SageMakerResponse
from werkzeug.wrappers import Request, Response

from sandbox.http_server import Respond
from sandbox.hyperpod.faults import ServiceError

Call = Callable[[str, Mapping[str, Any]], dict[str, Any]]
Authorize = Callable[[str, str, Mapping[str, Any]], None]
"""Raises a ServiceError if an access key must not perform an operation with a request."""

_OPERATIONS = (
    "BatchDeleteClusterNodes",
    "CreateCluster",
    "DeleteCluster",
    "DescribeCluster",
    "DescribeClusterNode",
    "ListClusterNodes",
    "UpdateCluster",
)
"""The operations of the model; all others are moto's."""
_ACCESS_KEY = re.compile(r"Credential=([^/]+)/")


def responder(call: Call, authorize: Authorize) -> Respond:
    """Return what responds to requests for SageMaker."""
    responses = _responses_for(call, authorize)

    def respond(request: Request) -> Response:
        moto_request = MotoRequest(request.environ)
        status, headers, body = responses.dispatch(
            moto_request, moto_request.raw_url, moto_request.headers
        )
        return Response(body, status=status, headers=dict(headers))

    return respond


def _responses_for(call: Call, authorize: Authorize) -> Any:
    """Return moto's class of SageMaker responses, with a method per operation of the model."""

    def method(operation: str) -> Callable[[SageMakerResponse], Any]:
        def respond(self: SageMakerResponse) -> Any:
            try:
                found = _ACCESS_KEY.search(self.headers.get("Authorization", ""))
                authorize(found[1] if found else "", operation, self.params)
                return ActionResult(call(operation, dict(self.params)))
            except ServiceError as error:
                body = json.dumps({"__type": error.code, "message": error.message})
                headers = {
                    "Content-Type": "application/x-amz-json-1.1",
                    "x-amzn-ErrorType": error.code,
                    "status": error.status,
                }
                return error.status, headers, body

        return respond

    methods = {camelcase_to_underscores(name): method(name) for name in _OPERATIONS}
    return type("ClusterResponses", (SageMakerResponse,), methods)
