"""The CDK's own functions for custom resources: their Node.js code from aws-cdk-lib.

AwsCustomResource has the real SDK for JavaScript, over HTTP. It makes one call, returns its
response, and waits for nothing. The Provider framework with is-complete calls two functions of its
user (`provider`). Those calls are simulated, and the state machine, which runs is-complete at the
framework's default interval until it does not fail.
"""

import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from bench.peers.functions import load
from bench.scenario import BATCH, CLUSTER, FUNCTION, Case, PeerResult, Scenario
from sandbox.project import PATH, ROOT

_AWS_CUSTOM_RESOURCE: Final = (
    "custom-resource-handlers/dist/custom-resources/aws-custom-resource-handler/index.js"
)
_PROVIDER: Final = "custom-resources/lib/provider-framework/runtime/framework.js"
_FOLDERS: Final = tuple(str(Path(name).parent) for name in (_AWS_CUSTOM_RESOURCE, _PROVIDER))
_INTERVAL: Final = 5.0
_USER_FUNCTIONS: Final = {
    f"{FUNCTION}-on-event": "on_event",
    f"{FUNCTION}-is-complete": "is_complete",
}
"""The names of the user's functions in their module, by ARN."""


class FunctionError(Exception):
    """An invocation has ended in an error."""


def run_aws_custom_resource(case: Case) -> PeerResult:
    """Run one removal of at most one batch."""
    assert case.nodes <= BATCH
    scenario = Scenario(case)
    nodes = {"ClusterName": CLUSTER, "NodeIds": list(scenario.sets[0])}
    call = {
        "service": "SageMaker",
        "action": "batchDeleteClusterNodes",
        "outputPaths": ["Failed"],
        "physicalResourceId": {"id": f"{CLUSTER}-removal-1"},
        "parameters": nodes,
    }
    event = scenario.event(Create=json.dumps(call), InstallLatestAwsSdk="false")
    del event["ResourceProperties"]["NodeIds"]
    with scenario.hyperpod.serve() as url, _runtime(AWS_ENDPOINT_URL_SAGEMAKER=url) as runtime:
        runtime.invoke(_AWS_CUSTOM_RESOURCE, "handler", event, on_put=scenario.reply)
    return scenario.result()


def run_provider(case: Case) -> PeerResult:
    """Run one removal."""
    scenario = Scenario(case)
    waiting: list[dict[str, Any]] = []

    def called(what: dict[str, Any]) -> dict[str, Any]:
        if "machine" in what:
            waiting.append(json.loads(what["input"]))
            return {}
        try:
            answer = getattr(user, _USER_FUNCTIONS[what["function"]])(
                json.loads(what["payload"]), None
            )
        except Exception as error:  # noqa: BLE001 (as Lambda does)
            failed = {"errorMessage": str(error), "errorType": type(error).__name__}
            return {"FunctionError": "Unhandled", "Payload": json.dumps(failed)}
        return {"StatusCode": 200, "Payload": json.dumps(answer)}

    def invoke(entry: str, event: Mapping[str, Any]) -> None:
        runtime.invoke(_PROVIDER, entry, event, on_put=scenario.reply, on_call=called)

    on_event, is_complete = _USER_FUNCTIONS
    environment = {
        "USER_ON_EVENT_FUNCTION_ARN": on_event,
        "USER_IS_COMPLETE_FUNCTION_ARN": is_complete,
        "WAITER_STATE_MACHINE_ARN": f"{FUNCTION}-waiter",
    }
    with patch("boto3.client", lambda _: scenario.sagemaker), _runtime(**environment) as runtime:
        user = load(Path(__file__).with_name("provider") / "index.py")
        invoke("onEvent", scenario.event())
        while waiting:
            try:
                invoke("isComplete", waiting[0])
            except FunctionError:
                scenario.clock.sleep(_INTERVAL)
            else:
                break
    return scenario.result()


class _Runtime:
    """A Node.js process that runs one invocation at a time."""

    def __init__(self, process: subprocess.Popen[str], code: Path) -> None:
        self._process = process
        self._code = code

    def invoke(
        self,
        code: str,
        entry: str,
        event: Mapping[str, Any],
        *,
        on_put: Callable[[bytes], None],
        on_call: Callable[[dict[str, Any]], Any] = lambda _: None,
    ) -> None:
        """Run one invocation.

        Args:
            on_put: gets what is sent to the response URL.
            on_call: returns the response to a call of a function or a state machine.

        Raises:
            FunctionError: it ended in an error.
        """
        path = self._code / code
        self._send({"code": str(path), "entry": entry, "event": event})
        assert self._process.stdout
        for text in self._process.stdout:
            line = json.loads(text)
            if "put" in line:
                # The paths of a stack trace are those in Lambda, not those of this checkout.
                on_put(line["put"].replace(str(path.parent), "/var/task").encode())
            elif "invoke" in line:
                self._send({"result": on_call(line["invoke"])})
            elif "error" in line:
                raise FunctionError(f"{line['error']}: {line['message']}")
            else:
                return
        raise FunctionError("the process of the runtime has ended")

    def _send(self, line: Mapping[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()


@contextmanager
def _runtime(**environment: str) -> Iterator[_Runtime]:
    """Start a process with these environment variables and no others of this machine."""
    with subprocess.Popen(
        ["node", str(Path(__file__).with_name("driver.cjs"))],
        env={
            "PATH": PATH,
            "NODE_PATH": str(ROOT / "bench" / "node_modules"),
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            **environment,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield _Runtime(process, _runtime_code())
        finally:
            assert process.stdin
            process.stdin.close()


def _runtime_code() -> Path:
    """Return the folder with the code, unpacked once for each version of aws-cdk-lib."""
    (archive,) = Path(str(files("aws_cdk") / "_jsii")).glob("aws-cdk-lib@*.jsii.tgz")
    folder = ROOT / ".bench" / archive.name.removesuffix(".jsii.tgz")
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        with tarfile.open(archive) as packed:
            wanted = [m for m in packed if m.name.removeprefix("package/").startswith(_FOLDERS)]
            packed.extractall(unfinished, members=wanted, filter="data")
        unfinished.rename(folder)
    return folder / "package"
