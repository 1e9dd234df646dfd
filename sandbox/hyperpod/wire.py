"""SageMaker's protocol: moto's request parsing and serialization, in front of the model.

Inside `mocked` the operations on clusters and their nodes are the model's and the rest is moto's;
behind `served` there is SageMaker only.
"""

import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar
from unittest.mock import patch

from moto import mock_aws
from moto.core.request import Request as MotoRequest
from moto.core.responses import ActionResult
from moto.sagemaker import urls
from moto.sagemaker.responses import SageMakerResponse
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from sandbox.hyperpod.faults import ServiceError

Call = Callable[[str, Mapping[str, Any]], dict[str, Any]]
Authorize = Callable[[str, str, Mapping[str, Any]], None]
"""Raises a ServiceError for an access key that may not do an operation on what is asked for."""

_POLL_SECONDS = 0.02
"""How long stopping the server takes at most."""

_ACCESS_KEY = re.compile(r"Credential=([^/]+)/")
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


@contextmanager
def mocked(call: Call, region: str) -> Iterator[None]:
    """moto's AWS for boto3 clients of this process, with the cluster nodes answered by `call`."""
    settings = {
        **CREDENTIALS,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with (
        patch.dict(os.environ, {**kept, **settings}, clear=True),
        mock_aws(),
        patch.dict(urls.url_paths, {"{0}/$": _responses_for(call).dispatch}),
    ):
        yield


@contextmanager
def served(call: Call, authorize: Authorize) -> Iterator[str]:
    """An HTTP server for SageMaker's endpoint. Yields its URL."""
    responses = _responses_for(call, authorize)

    @Request.application
    def application(request: Request) -> Response:
        moto_request = MotoRequest(request.environ)
        status, headers, body = responses.dispatch(
            moto_request, moto_request.raw_url, moto_request.headers
        )
        return Response(body, status=status, headers=dict(headers))

    server = make_server(
        "127.0.0.1", 0, application, threaded=True, request_handler=_QuietRequestHandler
    )
    thread = threading.Thread(
        target=server.serve_forever, args=(_POLL_SECONDS,), name="hyperpod", daemon=True
    )
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _QuietRequestHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Say nothing: a test asks the model what it has seen."""


class _ClusterNodeResponses(SageMakerResponse):
    """The operations on clusters and their nodes; the others stay moto's."""

    call_model: ClassVar[Call]
    authorize: ClassVar[Authorize]

    def batch_delete_cluster_nodes(self) -> Any:
        return self._answer("BatchDeleteClusterNodes")

    def create_cluster(self) -> Any:
        return self._answer("CreateCluster")

    def delete_cluster(self) -> Any:
        return self._answer("DeleteCluster")

    def update_cluster(self) -> Any:
        return self._answer("UpdateCluster")

    def describe_cluster(self) -> Any:
        return self._answer("DescribeCluster")

    def describe_cluster_node(self) -> Any:
        return self._answer("DescribeClusterNode")

    def list_cluster_nodes(self) -> Any:
        return self._answer("ListClusterNodes")

    def _answer(self, operation: str) -> Any:
        try:
            found = _ACCESS_KEY.search(self.headers.get("Authorization", ""))
            type(self).authorize(found[1] if found else "", operation, dict(self.params))
            return ActionResult(type(self).call_model(operation, dict(self.params)))
        except ServiceError as error:
            body = json.dumps({"__type": error.code, "message": error.message})
            headers = {
                "Content-Type": "application/x-amz-json-1.1",
                "x-amzn-ErrorType": error.code,
                "status": error.status,
            }
            return error.status, headers, body


def _responses_for(
    call: Call, authorize: Authorize = lambda *_: None
) -> type[_ClusterNodeResponses]:
    """moto makes an object of the class per request, so the model belongs to the class."""
    members = {"call_model": staticmethod(call), "authorize": staticmethod(authorize)}
    return type("ClusterNodeResponses", (_ClusterNodeResponses,), members)
