"""The product: the real handler with the SDK as it is shipped, on the clock of the scene.

What is replaced is what is below the SDK's HTTP session and below the TLS of the reply.
"""

import json
import logging
import random
from typing import Final
from unittest.mock import patch

from bench.scene import FUNCTION, LAMBDA_SECONDS, Case, Scene, Told
from bench.virtual_time import VirtualClock
from hyperpod_node_removal_handler import index
from tests.aws_transport import Answer, Sent

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

    def invoke(sent: Sent) -> Answer:
        queue.append(sent.parameters["Payload"])
        return {"StatusCode": 202}

    busy = 0.0
    invocations = 0
    logging.disable()
    try:
        with (
            patch.object(index, "clock", scene.clock),
            patch.object(index.handler, "_clock", scene.clock),
            scene.reached(Invoke=invoke),
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
