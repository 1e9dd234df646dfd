"""Runs first in the process of a Lambda function: what AWS's Python runtime sets up there.

Imports come from the standard library, then the function's code, then the SDK that AWS ships, and
from nowhere else. `logging` writes to the function's log: JSON lines when the function asks for
that format. The process starts without `site`, so nothing of this project is importable by chance.
"""

import json
import logging
import os
import sys
import time
from typing import IO, Any, cast

_request_id = ""


logging.Formatter.converter = time.gmtime


class _JsonFormatter(logging.Formatter):
    """The keys of AWS's runtime, those of an exception where there is one, and `extra` fields."""

    # What every record has is not extra.
    _KNOWN = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "requestId": _request_id,
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["errorType"] = record.exc_info[0].__name__
            line["errorMessage"] = str(record.exc_info[1])
            line["stackTrace"] = self.formatException(record.exc_info).splitlines()
        extra = {key: value for key, value in vars(record).items() if key not in self._KNOWN}
        return json.dumps(extra | line, ensure_ascii=False)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time_text = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        text = f"[{record.levelname}]\t{time_text}.{int(record.msecs):03d}Z\t{_request_id}\t"
        if record.exc_info:
            return f"{text}{record.getMessage()}\n{self.formatException(record.exc_info)}"
        return text + record.getMessage()


class _Input:
    """The worker's input: a line with the function's settings, then a line per invocation."""

    def __init__(self, lines: IO[str]) -> None:
        self._lines = lines
        self._started = False

    def readline(self) -> str:
        line = self._lines.readline()
        if not self._started:
            self._started = True
            return _with_task_root(line)
        _take_request_id(line)
        return line


def _with_task_root(line: str) -> str:
    """The settings, with the place where AWS puts the asset replaced by the one it has here."""
    settings = json.loads(line)
    root = settings["code_dir"]
    settings["env"] = {
        name: value.replace("/var/task", root) for name, value in settings["env"].items()
    }
    return json.dumps(settings) + "\n"


def _take_request_id(line: str) -> None:
    global _request_id  # noqa: PLW0603 - one invocation at a time
    if line:
        _request_id = json.loads(line)["ctx"]["request_id"]


def _set_up() -> None:
    sys.path.append(os.environ["_SANDBOX_SDK"])
    os.environ["AWS_LAMBDA_LOG_STREAM_NAME"] = os.environ["_SANDBOX_LOG_STREAM"]
    root = logging.getLogger()
    target = logging.StreamHandler(sys.stderr)
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON":
        target.setFormatter(_JsonFormatter())
        root.setLevel(os.environ.get("AWS_LAMBDA_LOG_LEVEL", "INFO"))
    else:
        target.setFormatter(_TextFormatter())
    root.addHandler(target)
    sys.stdin = cast("Any", _Input(sys.stdin))


_set_up()
