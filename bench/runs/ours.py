"""The product: the real handler with the SDK as it is shipped, on the clock of the scenario.

What is replaced is what is below the SDK's HTTP session and below the TLS of the reply.
"""

import json
import logging
from collections import defaultdict
from functools import partial
from types import ModuleType

from bench.peers.code import fresh
from bench.scenario import FUNCTION, LAMBDA_SECONDS, Case, PeerResult, Scenario
from bench.virtual_time import VirtualClock
from hyperpod_node_removal_handler import index
from tests.aws_transport import Answer, Sent


class Context:
    """What Lambda hands to a function."""

    log_group_name = "/aws/lambda/removal"
    log_stream_name = "2026/11/23/[$LATEST]4f2a91c0"
    function_name = "removal"
    aws_request_id = "8d2b0e1c"

    def __init__(self, clock: VirtualClock, number: int = 0) -> None:
        self.invoked_function_arn = f"{FUNCTION}-{number}"
        self._clock = clock
        self._end = clock.now() + LAMBDA_SECONDS

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation is ended."""
        return int((self._end - self._clock.now()) * 1000)


def run(case: Case) -> PeerResult:
    """All removals of a case, each by a function of its own that invokes itself as often as it
    takes."""
    scenario = Scenario(case)
    functions = {f"{FUNCTION}-{number}": _function(scenario) for number in range(case.removals)}
    sent_on: defaultdict[str, list[bytes]] = defaultdict(list)

    def invoke(sent: Sent) -> Answer:
        sent_on[sent.parameters["FunctionName"]].append(sent.parameters["Payload"])
        return {"StatusCode": 202}

    def remove(number: int, name: str, function: ModuleType) -> None:
        events = sent_on[name]
        events.append(json.dumps(scenario.event(number)).encode())
        while events:
            context = Context(scenario.clock, number)
            with scenario.clock.invocation(LAMBDA_SECONDS):
                function.handler(json.loads(events.pop(0)), context)

    logging.disable()
    try:
        with scenario.reached(Invoke=invoke):
            scenario.clock.together(
                [partial(remove, number, *one) for number, one in enumerate(functions.items())]
            )
    finally:
        logging.disable(logging.NOTSET)
    return scenario.result()


def _function(scenario: Scenario) -> ModuleType:
    function = fresh(index.__file__)
    function.clock = function.handler._clock = scenario.clock  # type: ignore[attr-defined]
    return function
