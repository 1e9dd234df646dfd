"""Lambda functions as AWS runs them, where ministack does otherwise.

Filled in: a function sees the standard library, its own asset and the SDK, not what happens to be
installed beside the sandbox; /var/task in its environment variables is where its asset is; its log
lines go to the log stream that its context names, one per execution environment; `logging` and the
START and REPORT lines have the format that LoggingConfig asks for.

Still not as on AWS: the interpreter is the sandbox's Python, whatever the runtime and architecture
say; memory and /tmp are not limited; roles are assumed but not enforced; lines appear in the log
when the invocation ends; an execution environment is thrown away after an error of the function.
"""

import json
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from ministack.core import lambda_runtime
from ministack.services import cloudwatch_logs, lambda_svc

from sandbox.engine.internals import internal, replace

_PROLOGUE: Final = Path(__file__).with_name("function_prologue.py")
_SDK: Final = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")
"""What AWS's Python runtime has beside the function."""
_QUIET_SECONDS: Final = 0.03
"""How long a function's output must be quiet to count as complete once it has answered."""
_OUTPUT_SECONDS: Final = 2.0

_current = threading.local()
"""The execution environment that serves this thread's invocation."""


def install(directory: Path) -> None:
    """Change ministack's Lambda in this process. `directory` takes the SDK and the launcher."""
    sdk = directory / "sdk"
    _link_sdk(sdk)
    launcher = _write_launcher(directory / "python")
    replace(lambda_runtime, "_detect_runtime_binary", lambda find: _interpreter(find, launcher))
    replace(lambda_runtime.Worker, "_spawn", lambda spawn: _spawner(spawn, sdk))
    replace(lambda_runtime.Worker, "invoke", _invoker)
    replace(lambda_runtime.Worker, "_drain_stderr_bounded", _drainer)
    replace(lambda_svc, "_emit_lambda_logs", lambda _: _log_writer())


def _link_sdk(directory: Path) -> None:
    directory.mkdir()
    for name in _SDK:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise RuntimeError(f"{name} is not installed beside the sandbox, which functions need")
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (directory / source.name).symlink_to(source)


def _write_launcher(path: Path) -> Path:
    """An interpreter without `site`, environment variables of Python's or the working directory."""
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return path


def _interpreter(find: Any, launcher: Path) -> Any:
    prologue = _PROLOGUE.read_text(encoding="utf-8")

    def interpreter(runtime: str) -> tuple[str, str]:
        binary, script = find(runtime)
        if not runtime.startswith("python"):
            return binary, script
        return str(launcher), f"{prologue}\n{script}"

    return interpreter


def _spawner(spawn: Any, sdk: Path) -> Any:
    def spawn_with_log_stream(worker: Any) -> None:
        config = worker.config
        logging_config = config.get("LoggingConfig") or {}
        worker.log_stream = _stream_name(config)
        variables = {
            **(config.get("Environment") or {}).get("Variables", {}),
            "_SANDBOX_SDK": str(sdk),
            "_SANDBOX_LOG_STREAM": worker.log_stream,
            "AWS_LAMBDA_LOG_GROUP_NAME": _group_name(config),
            "AWS_LAMBDA_LOG_FORMAT": logging_config.get("LogFormat", "Text"),
        }
        if level := logging_config.get("ApplicationLogLevel"):
            variables["AWS_LAMBDA_LOG_LEVEL"] = level
        worker.config = {**config, "Environment": {"Variables": variables}}
        try:
            spawn(worker)
        finally:
            worker.config = config

    return spawn_with_log_stream


def _invoker(invoke: Any) -> Any:
    def invoke_known(worker: Any, *args: Any, **kwargs: Any) -> Any:
        _current.worker = worker
        return invoke(worker, *args, **kwargs)

    return invoke_known


def _drainer(drain: Any) -> Any:
    def drain_all(worker: Any, *_: Any, **__: Any) -> Any:
        return drain(worker, _QUIET_SECONDS, _QUIET_SECONDS, _OUTPUT_SECONDS)

    return drain_all


def _log_writer() -> Any:
    groups = internal(cloudwatch_logs, "_log_groups")
    group_arn = internal(cloudwatch_logs, "_make_group_arn")
    append = internal(cloudwatch_logs, "_append_log_events")

    def write(
        function: dict[str, Any],
        request_id: str,
        log_text: str,
        error: bool,
        duration_ms: int,
        *,
        log_source: str | None = None,  # noqa: ARG001 - the signature is ministack's
    ) -> None:
        config = function.get("config") or function
        worker = getattr(_current, "worker", None)
        stream_name = getattr(worker, "log_stream", None) or _stream_name(config)
        now = int(time.time() * 1000)
        group = groups.get(_group_name(config))
        if group is None:
            name = _group_name(config)
            group = {
                "arn": group_arn(name),
                "creationTime": now,
                "retentionInDays": None,
                "tags": {},
                "subscriptionFilters": {},
                "streams": {},
            }
            groups[name] = group
        stream = group["streams"].setdefault(
            stream_name,
            {
                "events": [],
                "uploadSequenceToken": "1",
                "creationTime": now,
                "firstEventTimestamp": None,
                "lastEventTimestamp": None,
                "lastIngestionTime": None,
            },
        )
        lines = _log_lines(config, request_id, log_text.splitlines(), duration_ms, error=error)
        append(stream, [{"timestamp": now, "message": x, "ingestionTime": now} for x in lines])

    return write


def _log_lines(
    config: dict[str, Any], request_id: str, lines: list[str], duration_ms: int, *, error: bool
) -> Iterator[str]:
    """The function's lines between those of the platform."""
    memory = config.get("MemorySize", 128)
    if (config.get("LoggingConfig") or {}).get("LogFormat") == "JSON":
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        start = {"requestId": request_id, "version": config.get("Version", "$LATEST")}
        metrics = {"durationMs": duration_ms, "memorySizeMB": memory}
        report = {
            "requestId": request_id,
            "metrics": metrics,
            "status": "error" if error else "success",
        }
        yield json.dumps({"time": now, "type": "platform.start", "record": start})
        yield from lines
        yield json.dumps({"time": now, "type": "platform.report", "record": report})
        return
    yield f"START RequestId: {request_id} Version: {config.get('Version', '$LATEST')}"
    yield from lines
    yield f"END RequestId: {request_id}"
    yield (
        f"REPORT RequestId: {request_id}\tDuration: {duration_ms} ms\t"
        f"Billed Duration: {duration_ms} ms\tMemory Size: {memory} MB\tMax Memory Used: {memory} MB"
    )


def _group_name(config: dict[str, Any]) -> str:
    logging_config = config.get("LoggingConfig") or {}
    return str(logging_config.get("LogGroup") or f"/aws/lambda/{config.get('FunctionName', '')}")


def _stream_name(config: dict[str, Any]) -> str:
    day = datetime.now(UTC).strftime("%Y/%m/%d")
    return f"{day}/[{config.get('Version', '$LATEST')}]{uuid.uuid4().hex}"
