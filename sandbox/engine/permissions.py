"""What the role of a function may do, decided by ministack's own evaluation of its policies.

ministack decides for the services that it is (AUTH in its environment); for SageMaker, which is
served outside, `denial` does. People may do everything. Not as on AWS:
no service control policies, no permissions that spread late, and no dependent actions.
"""

import json
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_region, set_request_account_id

from sandbox.engine.internals import internal


def denial(question: bytes) -> bytes:
    """Why access is denied; nothing when it is not."""
    access_key, action, resource = json.loads(question)
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
