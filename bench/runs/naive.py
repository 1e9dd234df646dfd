"""A function that is a crhelper resource and waits by itself. crhelper is the real one."""

import logging
from contextlib import ExitStack
from functools import partial
from types import SimpleNamespace
from unittest.mock import patch

from crhelper import log_helper, resource_helper

from bench.peers.code import loaded
from bench.runs.ours import Context
from bench.scenario import LAMBDA_SECONDS, Case, PeerResult, Scenario
from bench.virtual_time import Timer


def run(case: Case) -> PeerResult:
    """One invocation."""
    scenario = Scenario(case)
    unused = dict.fromkeys(("events", "logs", "lambda"))
    timers = SimpleNamespace(Timer=partial(Timer, scenario.clock))
    with ExitStack() as stack:
        stack.enter_context(scenario.reached())
        stack.enter_context(scenario.clock.as_time())
        stack.enter_context(patch("boto3.client", scenario.clients(**unused)))
        stack.enter_context(patch.object(log_helper, "setup"))
        stack.enter_context(patch.object(resource_helper, "threading", timers))
        logging.disable()
        stack.callback(logging.disable, logging.NOTSET)
        handler = loaded("naive").handler
        stack.enter_context(scenario.clock.invocation(LAMBDA_SECONDS))
        handler(scenario.event(), Context(scenario.clock))
    return scenario.result()
