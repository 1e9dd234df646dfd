"""Functions that wait by themselves, on the clock of the scenario: the product, and a naive one.

Their code, crhelper, and the SDK are those that are shipped. What is replaced is below the SDK's
HTTP session and below the TLS of the reply.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import patch

from crhelper import log_helper, resource_helper

from bench.scenario import FUNCTION, LAMBDA_SECONDS, Case, PeerResult, Scenario
from bench.virtual_time import VirtualClock
from hyperpod_node_removal_handler import index
from tests.aws_transport import Answer, Sent


class Context:
    """The context of an invocation."""

    log_group_name = "/aws/lambda/removal"
    log_stream_name = "2026/11/23/[$LATEST]4f2a91c0"
    function_name = "removal"
    aws_request_id = "8d2b0e1c"

    def __init__(self, scenario: Scenario, number: int = 0) -> None:
        self.invoked_function_arn = f"{FUNCTION}-{number}"
        self._clock = scenario.clock
        self._end = self._clock.now() + LAMBDA_SECONDS

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the invocation is ended."""
        return int((self._end - self._clock.now()) * 1000)


def load(source: Path) -> ModuleType:
    """Return a module of this source that nothing else imports, as a new process has it."""
    module = ModuleType(source.stem)
    module.__file__ = str(source)
    exec(compile(source.read_bytes(), source, "exec"), vars(module))
    return module


def run_ours(case: Case) -> PeerResult:
    """Run the product for all removals of a case, each in a function that re-invokes itself."""
    scenario = Scenario(case)
    handed_over: defaultdict[str, list[bytes]] = defaultdict(list)

    def invoke(sent: Sent) -> Answer:
        handed_over[sent.parameters["FunctionName"]].append(sent.parameters["Payload"])
        return {"StatusCode": 202}

    def remove(number: int, function: ModuleType) -> None:
        events = handed_over[f"{FUNCTION}-{number}"]
        events.append(json.dumps(scenario.event(number)).encode())
        while events:
            context = Context(scenario, number)
            with scenario.clock.invocation(LAMBDA_SECONDS):
                function.handler(json.loads(events.pop(0)), context)

    functions = [load(Path(index.__file__)) for _ in range(case.removals)]
    for function in functions:
        function.handler._clock = scenario.clock
    with _silence(), scenario.reached(Invoke=invoke):
        scenario.clock.together([partial(remove, *one) for one in enumerate(functions)])
    return scenario.result()


def run_naive(case: Case) -> PeerResult:
    """Run one invocation of a function that a good engineer writes in an afternoon."""
    scenario = Scenario(case)
    timers = SimpleNamespace(Timer=partial(_Timer, scenario.clock))
    with (
        _silence(),
        scenario.reached(),
        scenario.clock.as_time(),
        patch.object(log_helper, "setup"),
        patch.object(resource_helper, "threading", timers),
    ):
        handler = load(Path(__file__).with_name("naive") / "index.py").handler
        with scenario.clock.invocation(LAMBDA_SECONDS):
            handler(scenario.event(), Context(scenario))
    return scenario.result()


class _Timer:
    """`threading.Timer` on the clock of a scenario."""

    def __init__(self, clock: VirtualClock, seconds: float, action: Callable[[], object]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._action = action

    def start(self) -> None:
        self._appointment = self._clock.timer(self._seconds, self._action)

    def cancel(self) -> None:
        self._appointment.cancel()


@contextmanager
def _silence() -> Iterator[None]:
    logging.disable()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
