"""What Lambda imports: the function, or a handler that replies if the function cannot be loaded.

Without a reply, the stack waits until its ServiceTimeout. The SDK is the runtime's and may change
without a deployment, so this module needs only the standard library.
"""

import logging
from collections.abc import Callable
from typing import Any

from hyperpod_node_removal_contract import escape_error
from hyperpod_node_removal_handler.request import Envelope

_TRIES = 3


def answering(error: Exception) -> Callable[[Any, Any], None]:
    """Return a handler that answers each event with the error that kept the function from loading.

    A Delete succeeds, as always. Everything else fails: whether it comes from a rollback cannot be
    determined, and an immediate error is better than a timeout.
    """
    what = escape_error(error)

    def handler(event: Any, context: Any) -> None:
        from urllib.request import Request, urlopen  # noqa: PLC0415

        log = logging.getLogger(__name__)
        log.error("The function could not be loaded: %s", what)
        try:
            envelope = Envelope.from_event(event)
        except ValueError as nobody:
            log.warning("%s", nobody)
            return
        reason = (
            f"The function could not be loaded ({what}); this invocation made no call."
            " Deploy the current version of the provider, then redeploy the same set."
            f" CloudWatch Log Stream: {context.log_stream_name}"
        )
        status = "SUCCESS" if envelope.request_type == "Delete" else "FAILED"
        body, headers = envelope.response(status, reason, {}), {"content-type": ""}
        for _ in range(_TRIES):
            try:
                request = Request(envelope.response_url, body, headers, method="PUT")  # noqa: S310
                urlopen(request, timeout=10)  # noqa: S310
            except Exception as failure:  # noqa: BLE001
                log.warning("The response did not reach CloudFormation: %s", type(failure).__name__)
            else:
                return

    return handler


handler: Callable[[Any, Any], None]
try:
    from hyperpod_node_removal_handler.index import handler
except Exception as error:  # noqa: BLE001
    handler = answering(error)
