"""The story: a set of nodes of which two cannot go yet, a rollback, a second try, a clean-up,
and a set that `plan` warns of and `explain` explains.

Everything that is told is checked as well.
"""

import subprocess
import time
from contextlib import ExitStack
from typing import Final

from sandbox.aws import Sandbox
from sandbox.demo.screen import STACK, Screen
from sandbox.demo.watch import StackWatch, watched_cdk
from sandbox.hyperpod import Cluster, NodeStatus
from sandbox.stacks import StackEvent

CLUSTER: Final = "ml-cluster"
STACK_NAME: Final = "hyperpod-node-removal-ml-cluster"
RESOURCE: Final = "Custom::HyperPodNodeRemoval"
RETRY_SECONDS: Final = 3
COMMAND: Final = "hyperpod-node-removal"
UNATTENDED: Final = ("--require-approval", "never")


class Unexpected(Exception):  # noqa: N818 - what the reader is told
    """The demo saw something else than it told."""


def tell(screen: Screen) -> None:
    """Run the demo.

    Raises:
        Unexpected: something did not go as told.
    """
    begun = time.monotonic()
    screen.heading("An AWS and a HyperPod cluster on this machine")
    screen.say(
        "CloudFormation, Lambda, S3 and SageMaker run in a sandbox on 127.0.0.1. The CDK CLI, the"
        " template and the Lambda function are the real ones. No AWS account is involved."
    )
    with ExitStack() as exit_stack:
        with screen.waiting("starting the sandbox"):
            sandbox = exit_stack.enter_context(Sandbox())
        cluster = sandbox.hyperpod.create_cluster(
            CLUSTER,
            {"controller": 1, "training": 6, "inference": 4},
            controller_group="controller",
            shutdown_seconds=(1.0, 2.0),
        )
        _Story(screen, sandbox, cluster).tell()
    screen.say(f"\nDone in {time.monotonic() - begun:.0f} seconds, and nothing is left running.")


class _Story:
    def __init__(self, screen: Screen, sandbox: Sandbox, cluster: Cluster) -> None:
        self.screen = screen
        self.sandbox = sandbox
        self.cluster = cluster
        training, inference = cluster.node_ids("training"), cluster.node_ids("inference")
        self.patched, self.used = training[2], inference[3]
        self.easy = (*training[:2], inference[0])
        self.chosen = (*training[:3], inference[0], inference[3])
        self.refused = (*cluster.node_ids("controller"), training[3])
        self.everyone = cluster.present
        self.watch = StackWatch(sandbox, STACK_NAME)

    def tell(self) -> None:
        self._show_cluster()
        self._bootstrap()
        self._deploy_and_fail()
        self._free_the_nodes()
        self._deploy_again()
        self._destroy()
        self._ask()

    def _show_cluster(self) -> None:
        self.cluster.set_node_status(self.patched, NodeStatus.SYSTEM_UPDATING)
        self.cluster.refuse(self.used, "NodeIdInUse", "The node is in use by another operation.")
        self.before = self.cluster.nodes
        notes = dict.fromkeys(self.easy, "to be removed")
        notes[self.patched] = "to be removed, but is being patched"
        notes[self.used] = "to be removed, but is in use"
        self.screen.say(f"\nThe cluster [bold]{CLUSTER}[/], and the five nodes that have to go:\n")
        self.screen.cluster(self.before, notes)

    def _bootstrap(self) -> None:
        self.screen.heading("Bootstrap")
        self.screen.say("The CDK needs a bucket for templates and code. Once per account:")
        self.screen.command("cdk bootstrap")
        with self.screen.waiting("cdk bootstrap"):
            self.sandbox.bootstrap()
        self._expect("the account is bootstrapped", self.sandbox.status("CDKToolkit") is not None)

    def _deploy_and_fail(self) -> None:
        self.screen.heading("Deploy the removal: two nodes cannot go")
        self.screen.say(
            f"Busy nodes are retried for {RETRY_SECONDS} seconds (by default, ten minutes)."
        )
        code, output = self._cdk("deploy", *self._context(), *UNATTENDED)
        failed = [e for e in self._all_events() if e.status == "CREATE_FAILED"]
        reason = failed[0].reason if failed else ""
        log = output.partition("Logs from ")[2].partition("Logs: ")[0].strip().splitlines()[1:]
        self.screen.say("\nThe CDK CLI also prints the end of the function's log:\n")
        self.screen.lines(log)
        self.screen.say("")
        self._expect("the deployment failed, and so did the command", code != 0, output)
        self._expect(
            "a stack event names both nodes and why they could not be removed",
            reason.startswith("Received response status [FAILED] from custom resource.")
            and all(
                word in reason
                for word in ("2 of 5", self.used, "NodeIdInUse", self.patched, "InvalidNodeStatus")
            ),
            output,
        )
        self._expect(
            "the stack was rolled back", self.sandbox.status(STACK_NAME) == "ROLLBACK_COMPLETE"
        )
        self._expect(
            "the other three nodes are gone for good; a rollback does not bring them back",
            self.cluster.present == self.everyone - set(self.easy),
        )

    def _free_the_nodes(self) -> None:
        self.screen.heading("The two nodes become free")
        self.cluster.set_node_status(self.patched, NodeStatus.RUNNING)
        self.cluster.allow(self.used)
        self.screen.say("The patching and the other operation end. Now run the same command:")

    def _deploy_again(self) -> None:
        code, output = self._cdk("deploy", *self._context(), *UNATTENDED)
        outputs = self.sandbox.outputs(STACK_NAME)
        self.screen.say("")
        self._expect("the command succeeded", code == 0, output)
        self.screen.say("\nThe stack's outputs:\n")
        self.screen.values("Output", outputs)
        self.screen.say("\nThe cluster before and after:\n")
        self.screen.comparison(self.before, self.cluster.present)
        self.screen.say("")
        self._expect("the removal is complete", outputs.get("Outcome") == "COMPLETE")
        self._expect(
            "two nodes were removed now; three were already gone",
            (outputs.get("RemovedCount"), outputs.get("AlreadyAbsentCount")) == ("2", "3"),
        )
        self._expect(
            "exactly the five nodes are gone",
            self.cluster.present == self.everyone - set(self.chosen),
        )

    def _destroy(self) -> None:
        self.screen.heading("Destroy the stack")
        self.screen.say("Deleting a removal leaves the cluster alone.")
        asked = len(self.sandbox.hyperpod.delete_requests)
        code, output = self._cdk("destroy", *self._context(), "--force")
        self.screen.say("")
        self._expect("the stack is gone", code == 0 and self._status_is_gone(), output)
        self._expect("the service received no request", self._requests() == asked)
        self._expect(
            "the other six nodes are all there",
            self.cluster.present == self.everyone - set(self.chosen),
        )
        self._expect(
            "no other node was ever requested",
            self.sandbox.hyperpod.requested_nodes == set(self.chosen),
        )

    def _ask(self) -> None:
        self.screen.heading("Ask first, and ask afterward")
        self.screen.say(
            "A removal of the controller as well. What would happen? `plan` needs no deployment:"
        )
        code, output = self._command("plan", "--cluster", CLUSTER, "--node-ids", *self.refused)
        self._expect(
            "the controller would be refused, which a pipeline sees by the exit code",
            code == 1 and "ControllerNode" in output,
            output,
        )
        self.screen.say("\nDeployed all the same, it fails:")
        code, output = self._cdk("deploy", *self._context(self.refused), *UNATTENDED)
        self.screen.say("")
        self._expect("the deployment failed", code != 0, output)
        self.screen.say("\nWhich nodes failed, why, and what to do next:")
        code, output = self._command("explain", STACK_NAME)
        self._expect(
            "the command explains the failure", code == 1 and "ControllerNode" in output, output
        )
        self._expect("the removal of the controller was never requested", self._is_spared())

    def _command(self, *args: str) -> tuple[int, str]:
        """Run the project's command and show what it prints. Returns its exit code and that."""
        self.screen.command(f"{COMMAND} {' '.join(args)}")
        done = subprocess.run(
            [COMMAND, *args],
            env={**self.sandbox.environment, **self.screen.as_terminal},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        self.screen.output(done.stdout)
        self.screen.say("")
        return done.returncode, done.stdout

    def _context(self, nodes: tuple[str, ...] = ()) -> tuple[str, ...]:
        ids = ",".join(nodes or self.chosen)
        values = (f"cluster={CLUSTER}", f"node_ids={ids}", f"retry_for={RETRY_SECONDS}")
        return tuple(word for value in values for word in ("-c", value))

    def _cdk(self, *args: str) -> tuple[int, str]:
        """Run the CDK CLI and show the events. Returns its exit code and what it printed."""
        shown = " ".join(args).replace(",".join(self.chosen[1:]), "...")
        self.screen.command(f"cdk {shown}")
        self.watch.news()
        with self.screen.waiting("cdk"):
            done = watched_cdk(self.watch, self._show_event, *args)
        return done.returncode, done.stdout

    def _show_event(self, event: StackEvent) -> None:
        """Leave out the resources around the removal: the function, its role, its log group."""
        if event.resource_type in (RESOURCE, STACK):
            self.screen.event(event)

    def _all_events(self) -> list[StackEvent]:
        return self.sandbox.events(STACK_NAME)

    def _status_is_gone(self) -> bool:
        return self.sandbox.status(STACK_NAME) is None

    def _is_spared(self) -> bool:
        return self.sandbox.hyperpod.requested_nodes.isdisjoint(self.cluster.node_ids("controller"))

    def _requests(self) -> int:
        return len(self.sandbox.hyperpod.delete_requests)

    def _expect(self, text: str, so: bool, output: str = "") -> None:
        if not so:
            raise Unexpected(f"it was expected that {text}.\n{output}")
        self.screen.told(text)
