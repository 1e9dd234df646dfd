"""The log of an execution environment: the function's lines between those of the platform."""

import json
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ministack.services import cloudwatch_logs

_LEVELS: Final = {"TRACE": 0, "DEBUG": 1, "INFO": 2, "WARN": 3, "ERROR": 4, "FATAL": 5} | {
    "WARNING": 3,  # as Python's logging calls them
    "CRITICAL": 5,
}
_KILLED: Final = ("Sandbox.Timedout", "Runtime.ExitError")
"""Types of errors that the process itself cannot log."""


class FunctionLog:
    """A log stream.

    With JSON as the log format, Lambda drops lines below ApplicationLogLevel; a line without a
    level counts as INFO ("Log-level filtering", Lambda Developer Guide).
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Create a stream for a function, in its log group, which is created if it is missing."""
        settings = config.get("LoggingConfig") or {}
        self.format = settings.get("LogFormat", "Text")
        self.level = settings.get("ApplicationLogLevel", "INFO") if self.format == "JSON" else None
        self.group = settings.get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
        self._version = config.get("Version", "$LATEST")
        self._memory = config.get("MemorySize", 128)
        day = datetime.now(UTC).strftime("%Y/%m/%d")
        self.name = f"{day}/[{self._version}]{uuid.uuid4().hex}"
        self._rest = b""
        self._started = ""
        self._stream = _make_stream(self.group, self.name)

    def output(self, data: bytes) -> None:
        """Add output of the process, whole lines or not."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            # The runtime marks line breaks within one event by carriage returns.
            text = line.decode("utf-8", errors="replace").replace("\r", "\n")
            if text.strip() and (self.level is None or _level(text) >= _LEVELS[self.level]):
                self._write(text)

    def start(self, request_id: str) -> None:
        """Write that an invocation starts."""
        self._started = request_id
        self._platform(
            f"START RequestId: {request_id} Version: {self._version}",
            "platform.start",
            {"requestId": request_id, "version": self._version},
        )

    def end(self, request_id: str, error_type: str, message: str, milliseconds: int) -> None:
        """Write that it has ended, and how. `error_type` is empty after a success."""
        if self._started != request_id:
            self.start(request_id)
        status = "error" if error_type else "success"
        if error_type == "Sandbox.Timedout":
            status = "timeout"
        text = (
            f"REPORT RequestId: {request_id}\tDuration: {milliseconds} ms\t"
            f"Billed Duration: {milliseconds} ms\tMemory Size: {self._memory} MB\t"
            f"Max Memory Used: {self._memory} MB"
        )
        record = {
            "requestId": request_id,
            "metrics": {"durationMs": milliseconds, "memorySizeMB": self._memory},
            "status": status,
        }
        if error_type:
            record["errorType"] = error_type
        if error_type in _KILLED:
            text += f"\tStatus: {status}\tError Type: {error_type}"
        if self.format != "JSON":
            if error_type in _KILLED:
                self._write(f"{_now()} {request_id} {message}")
            self._write(f"END RequestId: {request_id}")
        self._platform(text, "platform.report", record)

    def _platform(self, text: str, kind: str, record: Mapping[str, Any]) -> None:
        if self.format == "JSON":
            text = json.dumps({"time": _now(), "type": kind, "record": record})
        self._write(text)

    def _write(self, message: str) -> None:
        now = int(time.time() * 1000)
        event = {"timestamp": now, "message": message, "ingestionTime": now}
        cloudwatch_logs._append_log_events(self._stream, [event])


def _level(line: str) -> int:
    try:
        return _LEVELS[json.loads(line)["level"].upper()]
    except (ValueError, TypeError, KeyError, AttributeError):
        return _LEVELS["INFO"]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _make_stream(group: str, name: str) -> dict[str, Any]:
    cloudwatch_logs._create_log_group({"logGroupName": group})  # an error if it exists already
    cloudwatch_logs._create_log_stream({"logGroupName": group, "logStreamName": name})
    stream: dict[str, Any] = cloudwatch_logs._log_groups[group]["streams"][name]
    return stream
