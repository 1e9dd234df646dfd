"""The CDK's Provider framework with is-complete: its real runtime, and the user's two functions.

Simulated are the calls of a function by another, and the state machine: it runs is-complete until
that does not fail, after every interval of the framework's default.
"""

import json
from types import ModuleType
from typing import Any, Final
from unittest.mock import patch

from bench.peers.code import loaded
from bench.runs.node_runtime import PROVIDER, FunctionError, NodeRuntime, node_runtime
from bench.scenario import FUNCTION, Case, PeerResult, Scenario

INTERVAL: Final = 5.0
_ENVIRONMENT: Final = {
    "USER_ON_EVENT_FUNCTION_ARN": f"{FUNCTION}-on-event",
    "USER_IS_COMPLETE_FUNCTION_ARN": f"{FUNCTION}-is-complete",
    "WAITER_STATE_MACHINE_ARN": f"{FUNCTION}-waiter",
}
_ENTRIES: Final = {"on-event": "on_event", "is-complete": "is_complete"}


def run(case: Case) -> PeerResult:
    """One removal."""
    scenario = Scenario(case)
    with patch("boto3.client", scenario.clients()), node_runtime(**_ENVIRONMENT) as node:
        _Framework(scenario, node, loaded("provider")).run()
    return scenario.result()


class _Framework:
    """One deployment of the framework."""

    def __init__(self, scenario: Scenario, node: NodeRuntime, user: ModuleType) -> None:
        self._scenario = scenario
        self._node = node
        self._user = user
        self._machine_input: dict[str, Any] | None = None

    def run(self) -> None:
        """From the request to the reply."""
        self._invoke("onEvent", self._scenario.event())
        while self._machine_input is not None:
            try:
                self._invoke("isComplete", self._machine_input)
            except FunctionError:
                self._scenario.clock.sleep(INTERVAL)
            else:
                return

    def _invoke(self, entry: str, event: dict[str, Any]) -> None:
        self._node.invoke(PROVIDER, entry, event, on_put=self._scenario.reply, on_call=self._called)

    def _called(self, what: dict[str, Any]) -> dict[str, Any]:
        if "machine" in what:
            self._machine_input = json.loads(what["input"])
            return {}
        entry = getattr(self._user, _ENTRIES[what["function"].removeprefix(f"{FUNCTION}-")])
        try:
            answer = entry(json.loads(what["payload"]), None)
        except Exception as error:  # noqa: BLE001 (as Lambda does)
            failed = {"errorMessage": str(error), "errorType": type(error).__name__}
            return {"FunctionError": "Unhandled", "Payload": json.dumps(failed)}
        return {"StatusCode": 200, "Payload": json.dumps(answer)}
