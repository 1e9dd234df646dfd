"""A model of a scheduler with a hook that drains its nodes."""

import json
from typing import Any

from sandbox.hyperpod import ServiceError
from tests.faults.cloudformation import Stack
from tests.faults.simulation import Simulation


class Scheduler:
    """A scheduler with a hook that marks what it drains, as docs/before-removal.md says."""

    def __init__(
        self, sim: Simulation, *, busy_for: float = 0.0, stack: Stack | None = None
    ) -> None:
        """Have its hook invoked.

        Args:
            sim: the simulation.
            busy_for: seconds from now for which jobs run on all nodes.
            stack: the stack of the hook: complete without it, the stack has deleted it.
        """
        self.drained: dict[str, str | None] = {}
        """The nodes that are drained, each with the request that it was last drained for."""
        self._timeline = sim.timeline
        self._stack = stack
        self.busy_for(busy_for)
        sim.hook, sim.on_release = self._drain, self._release

    def busy_for(self, seconds: float) -> None:
        """Let jobs run on all nodes for so many seconds from now."""
        self._free_at = self._timeline.now() + seconds

    def _drain(self, event: dict[str, Any]) -> bytes:
        self._timeline.sleep(2.0)
        nodes = [node["NodeId"] for node in event["Nodes"]]
        self.drained |= dict.fromkeys(nodes, event.get("RequestId"))
        answer: dict[str, Any] = {"Version": "2", "Decision": "PROCEED"}
        if self._timeline.now() < self._free_at:
            waiting = [{"NodeId": node, "Reason": "job 17 is running"} for node in nodes]
            answer |= {"Decision": "WAIT", "WaitingNodes": waiting, "RetryAfter": 30}
        return json.dumps(answer).encode()

    def _release(self, event: dict[str, Any]) -> None:
        stack = self._stack
        if stack and stack.status.endswith("_COMPLETE"):
            deployed = stack.properties or {}
            if "BeforeRemoval" not in deployed:
                raise ServiceError("ResourceNotFoundException", "Function not found", 404)
        for node in event["Nodes"]:
            if self.drained.get(node["NodeId"], "") == event.get("RequestId"):
                del self.drained[node["NodeId"]]
