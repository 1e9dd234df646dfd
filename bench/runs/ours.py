"""The product: the real handler, with its clients, its clock and its reply on the scene."""

import json
import logging
import random
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

from bench.scene import FUNCTION, LAMBDA_SECONDS, Case, Scene, Told, stack_client
from bench.virtual_time import VirtualClock
from hyperpod_node_removal_handler import aws, custom_resource, index, reply

NAME: Final = "this product"


class Context:
    """What Lambda hands to a function."""

    log_group_name = "/aws/lambda/removal"
    log_stream_name = "2026/11/23/[$LATEST]4f2a91c0"
    invoked_function_arn = FUNCTION
    function_name = "removal"
    aws_request_id = "8d2b0e1c"

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._end = clock.now() + LAMBDA_SECONDS

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation is ended."""
        return int((self._end - self._clock.now()) * 1000)


def run(case: Case) -> Told:
    """One removal, handed over as often as it takes."""
    scene = Scene(case)
    random.seed(case.seed)  # the pauses of the product are random
    queue = [json.dumps(scene.event()).encode()]

    def invoke(**request: Any) -> dict[str, Any]:
        scene.called("Invoke")
        queue.append(request["Payload"])
        return {"StatusCode": 202}

    client = scene.clients(
        cloudformation=stack_client(scene), **{"lambda": SimpleNamespace(invoke=invoke)}
    )
    busy = 0.0
    invocations = 0
    logging.disable()
    try:
        with (
            patch.object(aws, "client", client),
            patch.object(index, "clock", scene.clock),
            patch.object(index.handler, "_clock", scene.clock),
            patch.object(custom_resource, "threading", SimpleNamespace(Timer=scene.clock.timer)),
            patch.object(reply, "put", lambda _url, body, _timeout: scene.reply(body)),
        ):
            while queue:
                began = scene.clock.now()
                invocations += 1
                with scene.clock.invocation(LAMBDA_SECONDS):
                    index.handler(json.loads(queue.pop(0)), Context(scene.clock))
                busy += scene.clock.now() - began
    finally:
        logging.disable(logging.NOTSET)
    return scene.told(busy_seconds=busy, invocations=invocations)
