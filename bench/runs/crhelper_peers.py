"""Two functions that are crhelper resources, and what they meet: Lambda, EventBridge, a PUT.

crhelper itself is the real one. EventBridge's schedule is simulated: a rule begins to count when it
is made, and invokes the function each time its rate is over.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

from crhelper import log_helper, resource_helper

from bench.peers.code import loaded
from bench.runs.ours import Context
from bench.scene import (
    ACCOUNT,
    INPUT_MAX,
    LAMBDA_SECONDS,
    REGION,
    SERVICE_TIMEOUT,
    Case,
    Scene,
    Told,
    too_long,
)
from bench.virtual_time import Timer
from tests.https_transport import taken_by

NAIVE: Final = "crhelper, naive"
POLLER: Final = "crhelper, its poller"


def run_naive(case: Case) -> Told:
    """One invocation, which waits until it is over."""
    return _run("naive", case)


def run_poller(case: Case) -> Told:
    """One invocation to ask, then one every two minutes."""
    return _run("poller", case)


class Schedule:
    """EventBridge and the permission to invoke, as far as the poller uses them."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.input = ""
        self.seconds = 0.0

    def client(self) -> Any:
        """One client for both services."""
        done = {
            name: self._does(name)
            for name in ("add_permission", "remove_permission", "remove_targets", "delete_rule")
        }
        return SimpleNamespace(put_rule=self.put_rule, put_targets=self.put_targets, **done)

    def put_rule(self, *, Name: str, ScheduleExpression: str, **_: Any) -> dict[str, str]:  # noqa: N803
        self._scene.called("put_rule")
        self.seconds = 60.0 * int(ScheduleExpression.removeprefix("rate(").split()[0])
        return {"RuleArn": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{Name}"}

    def put_targets(self, *, Targets: list[dict[str, str]], **_: Any) -> dict[str, Any]:  # noqa: N803
        self._scene.called("put_targets")
        text = Targets[0]["Input"]
        if len(text) > INPUT_MAX:
            raise too_long("PutTargets", text)
        self.input = text
        return {}

    def _does(self, name: str) -> Callable[..., dict[str, Any]]:
        def call(**_: Any) -> dict[str, Any]:
            self._scene.called(name)
            if name == "delete_rule":
                self.input = ""
            return {}

        return call


def _run(peer: str, case: Case) -> Told:
    scene = Scene(case)
    schedule = Schedule(scene)
    busy, invocations = 0.0, 0
    with _surroundings(scene, schedule):
        handler = loaded(peer).handler
        events = [scene.event()]
        while events:
            began = scene.clock.now()
            invocations += 1
            context = Context(scene.clock)
            with scene.clock.invocation(LAMBDA_SECONDS):
                handler(events.pop(), context)
            busy += scene.clock.now() - began
            if schedule.input and scene.clock.now() < scene.started + SERVICE_TIMEOUT:
                scene.clock.sleep(schedule.seconds)
                events.append(json.loads(schedule.input))
    return scene.told(busy_seconds=busy, invocations=invocations)


@contextmanager
def _surroundings(scene: Scene, schedule: Schedule) -> Iterator[None]:
    client = schedule.client()
    clients = scene.clients(events=client, logs=client, **{"lambda": client})
    with ExitStack() as stack:
        stack.enter_context(patch("boto3.client", clients))
        stack.enter_context(scene.clock.as_time())
        stack.enter_context(taken_by(scene.take))
        stack.enter_context(patch.object(log_helper, "setup"))
        timers = SimpleNamespace(Timer=partial(Timer, scene.clock))
        stack.enter_context(patch.object(resource_helper, "threading", timers))
        logging.disable()
        stack.callback(logging.disable, logging.NOTSET)
        yield
