"""Permissions of functions: the policies of their roles, evaluated by ministack.

ministack authorizes calls of its own services; for SageMaker, which it does not serve, `denial`
does. Only functions are restricted: ministack's switch for all callers (`AUTH`) is on for requests
with a function's keys.
"""

import json
from contextvars import ContextVar
from typing import Any, Final

from ministack import app
from ministack.core import iam_actions, iam_evaluator, lambda_runtime
from ministack.core.responses import get_region, set_request_account_id
from ministack.services import lambda_svc

from sandbox.engine import replace

_restricted: Final[ContextVar[bool]] = ContextVar("restricted", default=False)


class _Switch:
    """ministack's switch, on for the requests of functions."""

    def __bool__(self) -> bool:
        return _restricted.get()


class Functions:
    """The access keys of functions."""

    def __init__(self) -> None:
        self._keys: set[str] = set()

    def install(self) -> None:
        """Change ministack's Lambda and IAM in this process."""
        replace(app, "AUTH", lambda _: _Switch())
        for module in (lambda_runtime, lambda_svc):
            replace(module, "execution_credentials", self._with_role)

    def restrict(self, scope: dict[str, Any]) -> None:
        """Restrict the sender of a request to the policies of its role, if it is a function."""
        headers = {name.lower(): value for name, value in scope.get("headers", ())}
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        key = authorization.partition("Credential=")[2].partition("/")[0]
        _restricted.set(key in self._keys)

    def denial(self, query: bytes) -> bytes:
        """Return why a function is denied access to SageMaker; nothing if it is not.

        Args:
            query: an access key, an IAM action and a resource's ARN, as a JSON list.
        """
        access_key, action, resource = json.loads(query)
        if access_key not in self._keys:
            return b""
        _restricted.set(True)
        set_request_account_id(access_key)
        service = action.partition(":")[0]
        refused: Any = iam_evaluator.enforce(
            access_key, action, service, get_region(), resource_arn=resource
        )
        if refused is None:
            return b""
        if isinstance(refused, iam_evaluator.AuthError):
            return str(refused.message).encode()
        message = iam_actions.identity_denial_message(
            action, refused.principal_arn, resource, refused.decision == "Deny"
        )
        return str(message).encode()

    def _with_role(self, give: Any) -> Any:
        def give_with_role(config: dict[str, Any]) -> dict[str, str]:
            scope = _restricted.set(True)
            try:
                credentials: dict[str, str] = give(config)
            finally:
                _restricted.reset(scope)
            self._keys.add(credentials["AWS_ACCESS_KEY_ID"])
            return credentials

        return give_with_role
