"""The Node.js code of the CDK's own custom resources, taken from aws-cdk-lib and run."""

import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from bench.project import BENCH, CACHE
from sandbox.project import PATH

AWS_CUSTOM_RESOURCE: Final = (
    "custom-resource-handlers/dist/custom-resources/aws-custom-resource-handler/index.js"
)
PROVIDER: Final = "custom-resources/lib/provider-framework/runtime/framework.js"
_FOLDERS: Final = tuple(str(Path(name).parent) for name in (AWS_CUSTOM_RESOURCE, PROVIDER))


class FunctionError(Exception):
    """An invocation that ended in an error."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message


def runtime_code() -> Path:
    """Folder with the code, unpacked once for each version of aws-cdk-lib."""
    (archive,) = Path(str(files("aws_cdk") / "_jsii")).glob("aws-cdk-lib@*.jsii.tgz")
    folder = CACHE / archive.name.removesuffix(".jsii.tgz")
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        with tarfile.open(archive) as packed:
            wanted = [m for m in packed if m.name.removeprefix("package/").startswith(_FOLDERS)]
            packed.extractall(unfinished, members=wanted, filter="data")
        unfinished.rename(folder)
    return folder / "package"


class NodeRuntime:
    """A Node.js process that runs one invocation at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._code = runtime_code()

    def invoke(
        self,
        code: str,
        entry: str,
        event: Mapping[str, Any],
        *,
        on_put: Callable[[bytes], None],
        on_call: Callable[[dict[str, Any]], Any] = lambda _: None,
    ) -> None:
        """One invocation.

        Args:
            on_put: gets what is sent to the response URL.
            on_call: answers calls of functions and of state machines.

        Raises:
            FunctionError: it ended in an error.
        """
        self._send({"code": str(self._code / code), "entry": entry, "event": event})
        assert self._process.stdout
        for text in self._process.stdout:
            line = json.loads(text)
            if "put" in line:
                on_put(line["put"].encode())
            elif "invoke" in line:
                self._send({"result": on_call(line["invoke"])})
            elif "error" in line:
                raise FunctionError(line["error"], line["message"])
            else:
                return
        raise FunctionError("Runtime", "the process of the runtime has ended")

    def _send(self, line: Mapping[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()


@contextmanager
def node_runtime(**environment: str) -> Iterator[NodeRuntime]:
    """A process with these environment variables and no others of this machine."""
    with subprocess.Popen(
        ["node", str(Path(__file__).with_name("driver.cjs"))],
        env={
            "PATH": PATH,
            "NODE_PATH": str(BENCH / "node_modules"),
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
            yield NodeRuntime(process)
        finally:
            assert process.stdin
            process.stdin.close()
