"""What a function may do: what the policies of its role say, by ministack's own evaluation.

ministack decides for the services that it is; for SageMaker, which is served outside, `denial`
does. Only functions are held to their roles: ministack's switch for all callers at once (`AUTH`)
is on for requests with a function's keys.
"""

import json
from contextvars import ContextVar
from typing import Any, Final

from ministack import app
from ministack.core import iam_actions, iam_evaluator, lambda_runtime
from ministack.core.responses import get_region, set_request_account_id
from ministack.services import lambda_svc

from sandbox.engine.internals import internal, replace

_held: Final[ContextVar[bool]] = ContextVar("held", default=False)


class _Switch:
    """What ministack asks whether callers are held to policies."""

    def __bool__(self) -> bool:
        return _held.get()


class Functions:
    """The access keys that functions were given."""

    def __init__(self) -> None:
        self._keys: set[str] = set()

    def install(self) -> None:
        """Change ministack's Lambda and IAM in this process."""
        replace(app, "AUTH", lambda _: _Switch())
        for module in (lambda_runtime, lambda_svc):
            replace(module, "execution_credentials", self._giver)

    def hold(self, scope: dict[str, Any]) -> None:
        """Hold who sends a request to the policies of a role, if it is a function."""
        headers = {name.lower(): value for name, value in scope.get("headers", ())}
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        key = authorization.partition("Credential=")[2].partition("/")[0]
        _held.set(key in self._keys)

    def denial(self, question: bytes) -> bytes:
        """Why a function is denied access to SageMaker; nothing when it is not.

        Args:
            question: an access key, an IAM action and a resource's ARN, as a JSON list.
        """
        access_key, action, resource = json.loads(question)
        if access_key not in self._keys:
            return b""
        _held.set(True)
        set_request_account_id(access_key)
        service = action.partition(":")[0]
        refused: Any = internal(iam_evaluator, "enforce")(
            access_key, action, service, get_region(), resource_arn=resource
        )
        if refused is None:
            return b""
        if isinstance(refused, internal(iam_evaluator, "AuthError")):
            return str(refused.message).encode()
        message = internal(iam_actions, "identity_denial_message")(
            action, refused.principal_arn, resource, refused.decision == "Deny"
        )
        return str(message).encode()

    def _giver(self, give: Any) -> Any:
        def give_of_role(config: dict[str, Any]) -> dict[str, str]:
            scope = _held.set(True)
            try:
                credentials: dict[str, str] = give(config)
            finally:
                _held.reset(scope)
            self._keys.add(credentials["AWS_ACCESS_KEY_ID"])
            return credentials

        return give_of_role
