"""Python functions in Lambda's own runtime, with ministack's Runtime API for custom runtimes.

AWS's runtime interface client (`awslambdaric`) runs the function, so its logs, context, exceptions
and init errors are the real ones. Changed in ministack: an execution environment is frozen between
invocations and killed without a warning; its output is in its log stream as soon as it is written;
the depth in a chain of invocations is passed in the trace header, as in AWS; a function sees the
standard library, its own asset and the runtime's packages; /var/task in its environment variables
is where its asset is.

What still differs from AWS: the interpreter is that of the sandbox, whatever the runtime and
architecture; memory and /tmp are not limited.
"""

import os
import re
import secrets
import select
import shlex
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from sandbox.engine import replace
from sandbox.engine.function_log import FunctionLog
from sandbox.interpreters import link_sdk

_CLIENT: Final = ("awslambdaric", "runtime_client*.so", "simplejson", "snapshot_restore_py")
"""The files of the runtime interface client in a folder of packages."""
_LOG_STREAM: Final = "SandboxLogStream"
_LINEAGE: Final = re.compile(r"Lineage=(\d+):")


def install(directory: Path) -> None:
    """Change ministack's Lambda in this process. The runtime is written to `directory`.

    Settings are environment variables: `SANDBOX_PYTHON`, the interpreter of functions, and
    `SANDBOX_RUNTIME_CLIENT`, the folder of its `awslambdaric`.
    """
    runtime = link_sdk(directory / "runtime")
    client = Path(os.environ["SANDBOX_RUNTIME_CLIENT"])
    for package in (package for pattern in _CLIENT for package in client.glob(pattern)):
        (runtime / package.name).symlink_to(package)
    bootstrap = directory / "bootstrap"
    python = shlex.quote(os.environ["SANDBOX_PYTHON"])
    bootstrap.write_text(f'#!/bin/sh\nexec {python} -S -m awslambdaric "$_HANDLER"\n', "utf-8")
    bootstrap.chmod(0o755)
    run = lambda_svc._execute_function_provided_warm
    replace(lambda_svc, "_execute_function_warm", lambda other: _for_python(run, other))
    replace(lambda_svc, "_emit_lambda_logs", lambda other: _for_python(_log_nothing, other))
    replace(lambda_svc, "_provided_runtime_code_dir", lambda find: _unpacker(find, bootstrap))
    replace(lambda_svc, "_provided_worker_env", lambda make: _variables(make, runtime))
    replace(lambda_svc, "_inbound_invoke_depth", lambda _: _depth)
    replace(lambda_runtime, "_worker_class_for", _worker_class)
    replace(lambda_runtime, "_signal", lambda _: _kill)


def _is_python(config: dict[str, Any]) -> bool:
    return str(config.get("Runtime", "")).startswith("python")


def _for_python(run: Any, other: Any) -> Any:
    def run_function(function: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        chosen = run if _is_python(function.get("config") or function) else other
        return chosen(function, *args, **kwargs)

    return run_function


def _log_nothing(*_: Any, **__: Any) -> None:
    """Log nothing: the environment has written everything."""


def _worker_class(choose: Any) -> Any:
    return lambda config: ExecutionEnvironment if _is_python(config) else choose(config)


def _unpacker(find: Any, bootstrap: Path) -> Any:
    def code_dir(code_zip: bytes) -> Any:
        found = find(code_zip)
        with suppress(FileExistsError):
            Path(found, "bootstrap").symlink_to(bootstrap)
        return found

    return code_dir


def _variables(make: Any, runtime: Path) -> Any:
    def variables(config: dict[str, Any], code_dir: str, port: int) -> dict[str, str]:
        made: dict[str, str] = make(config, code_dir, port)
        if _is_python(config):
            log: FunctionLog = config[_LOG_STREAM]
            made = {name: value.replace("/var/task", code_dir) for name, value in made.items()}
            made |= {
                "PYTHONPATH": str(runtime),
                "TZ": ":UTC",
                "AWS_EXECUTION_ENV": f"AWS_Lambda_{config['Runtime']}",
                "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
                "AWS_LAMBDA_LOG_GROUP_NAME": log.group,
                "AWS_LAMBDA_LOG_STREAM_NAME": log.name,
                "AWS_LAMBDA_LOG_FORMAT": log.format,
                **({"AWS_LAMBDA_LOG_LEVEL": log.level} if log.level else {}),
            }
        return made

    return variables


def _depth(headers: dict[str, str]) -> int:
    """Return how many invocations led to a call, from the trace header that botocore sends."""
    found = _LINEAGE.search(headers.get("x-amzn-trace-id", ""))
    return int(found[1]) if found else 0


def _trace_header(depth: int) -> str:
    """Return a header whose lineage is depth, hash and loop counter (X-Ray Developer Guide)."""
    root = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    parent = secrets.token_hex(8)
    return f"Root={root};Parent={parent};Sampled=0;Lineage={depth}:{secrets.token_hex(4)}:0"


def _kill(process: Any) -> None:
    """End a process as Lambda does without extensions: at once, frozen or not."""
    if process is not None and process.poll() is None:
        process.kill()


class ExecutionEnvironment(lambda_runtime.ProvidedWorker):  # type: ignore[misc]
    """A process of a Python function, with a new log stream each time it is started."""

    config: dict[str, Any]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._request_id = ""
        self._output_lock = threading.Lock()

    def invoke(self, event: Any, request_id: str, **kwargs: Any) -> dict[str, Any]:
        """Run one invocation. An error at the start of the function is a result, too."""
        begun = time.monotonic()
        self._request_id = request_id
        if self._proc is not None and self._proc.poll() is None:
            self._proc.send_signal(signal.SIGCONT)
            self._log.start(request_id)
        # An invocation that does not come over HTTP is the first of its chain.
        depth = max(1, lambda_svc._invoke_depth.get())
        kwargs["trace_id"] = _trace_header(depth)
        try:
            result: dict[str, Any] = super().invoke(event, request_id, **kwargs)
        except RuntimeError as error:
            payload = self._init_error
            if not isinstance(payload, dict):
                kind = getattr(error, "error_type", "Runtime.ExitError")
                payload = {"errorMessage": str(error), "errorType": kind}
            result = {"status": "error", "error": str(error), "error_payload": payload}
        failure = result.get("error_payload") or {}
        self._log.end(
            request_id,
            error_type=failure.get("errorType", ""),
            message=failure.get("errorMessage", ""),
            milliseconds=int((time.monotonic() - begun) * 1000),
        )
        self._freeze()
        return result

    def _spawn(self, init_timeout: float | None = None) -> None:
        self._teardown()
        self._log = FunctionLog(self.config)
        self.config = {**self.config, _LOG_STREAM: self._log}
        super()._spawn(init_timeout)
        self._log.start(self._request_id)

    def _freeze(self) -> None:
        process = self._proc
        if process is not None and process.poll() is None:
            # Another thread may end it if the function is changed or deleted.
            with suppress(ChildProcessError):
                process.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    # The output, without ministack's waits for more output ------------------------------------

    def _pump_output(self, stream: Any, _: Any) -> None:
        os.set_blocking(stream.fileno(), False)
        poll = select.poll()
        poll.register(stream, select.POLLIN)
        while self._take_output(stream):
            poll.poll()
        with self._output_lock:
            stream.close()

    def _take_output(self, stream: Any) -> bool:
        """Log what has been written so far. Returns False at the end of the output."""
        with self._output_lock:
            while not stream.closed:
                try:
                    data = os.read(stream.fileno(), 1 << 16)
                except BlockingIOError:
                    return True
                self._log.output(data or b"\n")
                if not data:
                    break
            return False

    def _drain_stderr_bounded(self, *_: Any, **__: Any) -> str:
        """Complete the log. The process wrote before it responded, so all output is in the pipe."""
        if self._proc is not None:
            self._take_output(self._proc.stdout)
        return ""
