"""`make demo`: a removal in which two nodes fail, its rollback, a retry, and the clean-up.

At the end, `plan` and `explain` show a removal that is refused. Everything that the demo claims is
checked. It exits with 1 if something is different.
"""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sandbox.aws import Sandbox
from sandbox.demo.screen import STACK, Screen
from sandbox.hyperpod import Cluster, NodeStatus
from sandbox.process import SandboxError

CLUSTER: Final = "ml-cluster"
STACK_NAME: Final = "hyperpod-node-removal-ml-cluster"
RESOURCE: Final = "Custom::HyperPodNodeRemoval"
RETRY_SECONDS: Final = 3
COMMAND: Final = "hyperpod-node-removal"
UNATTENDED: Final = ("--require-approval", "never")
_POLL: Final = 0.5


class DemoError(Exception):
    """Something that the demo claims is not the case."""


def run(screen: Screen) -> None:
    """Run the demo.

    Raises:
        DemoError: something that it claims is not the case.
    """
    started = time.monotonic()
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
        demo = _Demo(screen, sandbox, cluster)
        demo.show_cluster()
        demo.bootstrap()
        demo.deploy_and_fail()
        demo.deploy_again()
        demo.destroy()
        demo.plan_and_explain()
    screen.say(f"\nDone in {time.monotonic() - started:.0f} seconds, and nothing is left running.")


class _Demo:
    def __init__(self, screen: Screen, sandbox: Sandbox, cluster: Cluster) -> None:
        self.screen = screen
        self.sandbox = sandbox
        self.cluster = cluster
        training, inference = cluster.node_ids("training"), cluster.node_ids("inference")
        self.patched, self.used = training[2], inference[3]
        self.removable = (*training[:2], inference[0])
        self.requested = (*training[:3], inference[0], inference[3])
        self.controller = cluster.node_ids("controller")
        self.all_nodes = cluster.present
        self._stack_ids: list[str] = []
        self._shown_events: set[str] = set()

    def show_cluster(self) -> None:
        self.cluster.set_node_status(self.patched, NodeStatus.SYSTEM_UPDATING)
        self.cluster.refuse(self.used, "NodeIdInUse", "The node is in use by another operation.")
        self.before = self.cluster.nodes
        notes = dict.fromkeys(self.removable, "to be removed")
        notes[self.patched] = "to be removed, but is being patched"
        notes[self.used] = "to be removed, but is in use"
        self.screen.say(f"\nThe cluster [bold]{CLUSTER}[/], and five nodes to remove:\n")
        self.screen.cluster(self.before, notes)

    def bootstrap(self) -> None:
        self.screen.heading("Bootstrap")
        self.screen.say("The CDK needs a bucket for templates and code. Once per account:")
        self.screen.command("cdk bootstrap")
        environment = f"aws://{self.sandbox.account}/{self.sandbox.region}"
        with self.screen.waiting("cdk bootstrap"), TemporaryDirectory() as empty:
            done = self.sandbox.cdk("bootstrap", environment, cwd=Path(empty))
        is_complete = self.sandbox.status("CDKToolkit") == "CREATE_COMPLETE"
        self._expect("the account is bootstrapped", is_complete, done.stdout)

    def deploy_and_fail(self) -> None:
        self.screen.heading("Deploy the removal: two nodes cannot be removed")
        self.screen.say(
            f"Busy nodes are retried for {RETRY_SECONDS} seconds (by default, ten minutes)."
        )
        code, output = self._cdk("deploy", *self._context(self.requested), *UNATTENDED)
        failed = [e for e in self.sandbox.events(STACK_NAME) if e.status == "CREATE_FAILED"]
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
            "the other three nodes are removed; a rollback does not bring them back",
            self.cluster.present == self.all_nodes - set(self.removable),
        )

    def deploy_again(self) -> None:
        self.screen.heading("The two nodes become free")
        self.cluster.set_node_status(self.patched, NodeStatus.RUNNING)
        self.cluster.allow(self.used)
        self.screen.say("The patching and the other operation end. Now run the same command:")
        code, output = self._cdk("deploy", *self._context(self.requested), *UNATTENDED)
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
        self._expect("exactly the five nodes are gone", self._only_requested_are_gone())

    def destroy(self) -> None:
        self.screen.heading("Destroy the stack")
        self.screen.say("Deleting a removal leaves the cluster alone.")
        requests = len(self.sandbox.hyperpod.delete_requests)
        code, output = self._cdk("destroy", *self._context(self.requested), "--force")
        self.screen.say("")
        is_gone = code == 0 and self.sandbox.status(STACK_NAME) is None
        self._expect("the stack is gone", is_gone, output)
        self._expect(
            "the service received no request",
            len(self.sandbox.hyperpod.delete_requests) == requests,
        )
        self._expect("the other six nodes still exist", self._only_requested_are_gone())
        self._expect(
            "no other node was ever requested",
            self.sandbox.hyperpod.requested_nodes == set(self.requested),
        )

    def plan_and_explain(self) -> None:
        self.screen.heading("Plan before, and explain afterward")
        self.screen.say(
            "A removal that includes the controller. `plan` shows what it would do, without a"
            " deployment:"
        )
        nodes = (*self.controller, self.cluster.node_ids("training")[0])
        code, output = self._command("plan", "--cluster", CLUSTER, "--node-ids", *nodes)
        self._expect(
            "the controller would be refused, which a pipeline sees by the exit code",
            code == 1 and "ControllerNode" in output,
            output,
        )
        self.screen.say("\nIf it is deployed anyway, it fails:")
        code, output = self._cdk("deploy", *self._context(nodes), *UNATTENDED)
        self.screen.say("")
        self._expect("the deployment failed", code != 0, output)
        self.screen.say("\nWhich nodes failed, why, and what to do next:")
        code, output = self._command("explain", STACK_NAME)
        self._expect(
            "the command explains the failure", code == 1 and "ControllerNode" in output, output
        )
        self._expect(
            "the removal of the controller was never requested",
            self.sandbox.hyperpod.requested_nodes.isdisjoint(self.controller),
        )

    def _command(self, *args: str) -> tuple[int, str]:
        """Run the project's command and show its output. Returns its exit code and output."""
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

    def _context(self, nodes: tuple[str, ...]) -> tuple[str, ...]:
        values = (
            f"cluster={CLUSTER}",
            f"node_ids={','.join(nodes)}",
            f"retry_for={RETRY_SECONDS}",
        )
        return tuple(word for value in values for word in ("-c", value))

    def _cdk(self, *args: str) -> tuple[int, str]:
        """Run the CDK CLI and show the events. Returns its exit code and output."""
        shown = " ".join(args).replace(",".join(self.requested[1:]), "...")
        self.screen.command(f"cdk {shown}")
        with self.screen.waiting("cdk"), ThreadPoolExecutor(1) as executor:
            running = executor.submit(self.sandbox.cdk, *args)
            while wait([running], _POLL).not_done:
                self._show_new_events()
            self._show_new_events()
            done = running.result()
        return done.returncode, done.stdout

    def _show_new_events(self) -> None:
        """Show the stack's and the removal's new events, but not those of the function.

        A stack that is deleted and created again has the same name and another id.
        """
        stack_id = self.sandbox.stack_id(STACK_NAME)
        if stack_id is not None and stack_id not in self._stack_ids:
            self._stack_ids.append(stack_id)
        for event in [e for known in self._stack_ids for e in self.sandbox.events(known)]:
            is_new = event.event_id not in self._shown_events
            self._shown_events.add(event.event_id)
            if is_new and event.resource_type in (RESOURCE, STACK):
                self.screen.event(event)

    def _only_requested_are_gone(self) -> bool:
        return self.cluster.present == self.all_nodes - set(self.requested)

    def _expect(self, claim: str, is_true: bool, output: str = "") -> None:
        if not is_true:
            raise DemoError(f"expected: {claim}.\n{output}")
        self.screen.checked(claim)


if __name__ == "__main__":
    try:
        run(Screen())
    except (SandboxError, DemoError) as error:
        sys.exit(f"\nThe demo failed: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
