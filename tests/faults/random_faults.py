"""Faults during one operation on a stack, as values that Hypothesis draws and shrinks."""

from dataclasses import dataclass
from typing import Protocol

from hypothesis import strategies as st

from sandbox.hyperpod import ServiceError
from tests.faults.cloudformation import Stack
from tests.faults.errors import AFTER, BEFORE
from tests.faults.fault_injection import OPERATIONS, PUT
from tests.faults.simulation import Simulation


class RandomFault(Protocol):
    """Something that happens during an operation."""

    def prepare(self, sim: Simulation, stack: Stack) -> None: ...


@dataclass(frozen=True)
class Kill:
    """The process is killed at the nth call from now."""

    number: int
    is_after_work: bool

    def prepare(self, sim: Simulation, stack: Stack) -> None:
        number = len(sim.injector.calls) + self.number
        sim.injector.kill(number, is_after_work=self.is_after_work)


@dataclass(frozen=True)
class CallsFail:
    """Some calls are not carried out, or their answers are lost."""

    operation: str
    error: str
    times: int = 1
    skip: int = 0
    is_after_work: bool = False

    def prepare(self, sim: Simulation, stack: Stack) -> None:
        after = self.is_after_work
        error = (AFTER if after else BEFORE)[self.error]
        sim.injector.fail(
            self.operation, error, times=self.times, skip=self.skip, is_after_work=after
        )


@dataclass(frozen=True)
class ReplyRefused:
    """The response URL fails at first."""

    times: int
    is_after_work: bool

    def prepare(self, sim: Simulation, stack: Stack) -> None:
        sim.injector.fail(
            PUT,
            lambda: ServiceError("SlowDown", status=503),
            times=self.times,
            is_after_work=self.is_after_work,
        )


@dataclass(frozen=True)
class DeliveredTwice:
    """Every event is delivered twice."""

    delay: float

    def prepare(self, sim: Simulation, stack: Stack) -> None:
        sim.cloudformation.deliveries = (0.0, self.delay)


@dataclass(frozen=True)
class SlowCalls:
    """Every call takes some seconds."""

    seconds: float

    def prepare(self, sim: Simulation, stack: Stack) -> None:
        sim.injector.latency = self.seconds


@dataclass(frozen=True)
class Canceled:
    """Another resource fails, or the deployment is canceled."""

    delay: float

    def prepare(self, sim: Simulation, stack: Stack) -> None:
        sim.timeline.after(self.delay, stack.cancel)


@dataclass(frozen=True)
class NodeChanged:
    """The service changes a node."""

    delay: float
    pick: int
    change: str

    def prepare(self, sim: Simulation, stack: Stack) -> None:
        sim.timeline.after(self.delay, lambda: self._act(sim))

    def _act(self, sim: Simulation) -> None:
        cluster = sim.clusters[0]
        if not cluster.nodes:
            return
        node = cluster.nodes[self.pick % len(cluster.nodes)]
        name = node.logical_id or node.instance_id or ""
        match self.change:
            case "recovered":
                cluster.replace_instance(name)
            case "will fail while it leaves":
                cluster.fail_while_leaving(name)
            case "patched":
                until = sim.timeline.now() + 80
                cluster.set_node_status(name, "SystemUpdating", until)
            case status:
                cluster.set_node_status(name, status)


@dataclass(frozen=True)
class ClusterBusy:
    """The cluster is being updated."""

    delay: float
    lasting: float

    def prepare(self, sim: Simulation, stack: Stack) -> None:
        def act() -> None:
            sim.clusters[0].set_status("Updating", until=sim.timeline.now() + self.lasting)

        sim.timeline.after(self.delay, act)


SECONDS = st.sampled_from([0.0, 1.0, 5.0, 20.0, 45.0, 70.0, 130.0, 300.0, 700.0])
KILLS = st.builds(Kill, st.integers(0, 25), st.booleans())
SKIP = st.integers(0, 6)
CALL = st.sampled_from((*OPERATIONS, "PutEvents"))
OTHERS: st.SearchStrategy[RandomFault] = st.one_of(
    st.builds(CallsFail, CALL, st.sampled_from(sorted(BEFORE)), st.integers(1, 5), SKIP),
    st.builds(
        CallsFail, CALL, st.sampled_from(sorted(AFTER)), skip=SKIP, is_after_work=st.just(True)
    ),
    st.builds(ReplyRefused, st.integers(1, 2), st.booleans()),
    st.builds(DeliveredTwice, SECONDS),
    st.builds(SlowCalls, st.sampled_from([0.1, 1.0, 4.0])),
    st.builds(Canceled, SECONDS),
    st.builds(
        NodeChanged,
        SECONDS,
        st.integers(0, 9),
        st.sampled_from(
            ["recovered", "will fail while it leaves", "patched", "Failure", "Running"]
        ),
    ),
    st.builds(ClusterBusy, SECONDS, st.sampled_from([30.0, 300.0])),
)
RANDOM_FAULTS: st.SearchStrategy[list[RandomFault]] = st.builds(
    lambda kills, others: [*kills, *others],
    # Lambda retries an event twice, so a third kill would lose it.
    st.lists(KILLS, max_size=2),
    st.lists(OTHERS, max_size=3),
)
