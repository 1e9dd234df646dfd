"""The CDK's Provider framework with is-complete: its real runtime, and the user's two functions.

Simulated are the calls of a function by another (one latency each) and the state machine: it runs
is-complete at once and then after every interval, the framework's default of 5 s, until the total
timeout, which is set to CloudFormation's hour.
"""

import json
from types import ModuleType
from typing import Any, Final
from unittest.mock import patch

from bench.peers.code import loaded
from bench.runs.node_runtime import PROVIDER, FunctionError, NodeRuntime, node_runtime
from bench.scenario import FUNCTION, SERVICE_TIMEOUT, Case, PeerResult, Scenario

INTERVAL: Final = 5.0
_ENVIRONMENT: Final = {
    "USER_ON_EVENT_FUNCTION_ARN": f"{FUNCTION}-on-event",
    "USER_IS_COMPLETE_FUNCTION_ARN": f"{FUNCTION}-is-complete",
    "WAITER_STATE_MACHINE_ARN": f"{FUNCTION}-waiter",
}
_ENTRIES: Final = {"on-event": "on_event", "is-complete": "is_complete"}


class Framework:
    """One deployment of the framework on a scenario."""

    def __init__(self, scenario: Scenario, node: NodeRuntime, user: ModuleType) -> None:
        self._scenario = scenario
        self._node = node
        self._user = user
        self.machine_input: dict[str, Any] | None = None

    def run(self) -> None:
        """From the request to the reply, or to the end of the state machine's patience."""
        self._invoke("onEvent", self._scenario.event())
        if self.machine_input is None:
            return
        deadline = self._scenario.started + SERVICE_TIMEOUT
        while True:
            try:
                self._invoke("isComplete", self.machine_input)
            except FunctionError as error:
                if self._scenario.clock.now() + INTERVAL >= deadline:
                    cause = json.dumps({"errorMessage": error.message})
                    self._invoke("onTimeout", {"Cause": cause})
                    return
                self._scenario.clock.sleep(INTERVAL)
            else:
                return

    def _invoke(self, entry: str, event: dict[str, Any]) -> None:
        self._scenario.called("Invoke")
        self._node.invoke(PROVIDER, entry, event, on_put=self._scenario.reply, on_call=self._called)

    def _called(self, what: dict[str, Any]) -> dict[str, Any]:
        if "machine" in what:
            self._scenario.called("StartExecution")
            self.machine_input = json.loads(what["input"])
            return {}
        self._scenario.called("Invoke")
        entry = getattr(self._user, _ENTRIES[what["function"].removeprefix(f"{FUNCTION}-")])
        try:
            answer = entry(json.loads(what["payload"]), None)
        except Exception as error:  # noqa: BLE001 (as Lambda does)
            failed = {"errorMessage": str(error), "errorType": type(error).__name__}
            return {"FunctionError": "Unhandled", "Payload": json.dumps(failed)}
        return {"StatusCode": 200, "Payload": json.dumps(answer)}


def run(case: Case) -> PeerResult:
    """One removal."""
    scenario = Scenario(case)
    with patch("boto3.client", scenario.clients()), node_runtime(**_ENVIRONMENT) as node:
        Framework(scenario, node, loaded("provider")).run()
    return scenario.result()
