"""The size of what an asynchronous invocation may hand over.

1 MB since October 2025 (256 KB before; other partitions may lag), which ministack does not limit.
"""

import json
from typing import Any, Final

EVENT_BYTES: Final = 1024 * 1024


def limited(application: Any) -> Any:
    """The application, refusing asynchronous invocations that hand over more."""

    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        size = _size(scope)
        if size <= EVENT_BYTES:
            await application(scope, receive, send)
            return
        message = (
            f"{size} byte payload is too large for the Event invocation type (limit {EVENT_BYTES}"
            " bytes)"
        )
        body = json.dumps({"Type": "User", "message": message}).encode()
        headers = [
            (b"content-length", str(len(body)).encode()),
            (b"x-amzn-errortype", b"RequestEntityTooLargeException"),
        ]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer


def _size(scope: dict[str, Any]) -> int:
    """Bytes of the payload; 0 for what is no asynchronous invocation."""
    headers = {name.lower(): value for name, value in scope.get("headers", ())}
    is_event = headers.get(b"x-amz-invocation-type") == b"Event"
    is_invocation = scope.get("path", "").endswith("/invocations")
    return int(headers.get(b"content-length", 0)) if is_event and is_invocation else 0
