"""A client of Slurm's REST API (`slurmrestd`), with what a drain needs.

Tested with Slurm 24.11 (v0.0.40 to v0.0.42); the shapes of v0.0.39 are those of its published
OpenAPI document. Error numbers are not used: a node that does not exist has error_number 0. What
counts is the state that Slurm reports afterwards.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, Self
from urllib.parse import quote

from hyperpod_node_removal_hook import SchedulerError, Server

_TIMEOUT: Final = 10
"""Seconds for connecting, and for each read."""
_OLDEST, _NEWEST = 39, 42
"""Versions of the API whose shapes are known: v0.0.39 to v0.0.42."""
_DRAINED: Final = frozenset({"DOWN", "DRAIN", "FAIL"})
"""States of a node on which no new job starts."""
_BUSY: Final = frozenset({"ALLOCATED", "COMPLETING", "ERROR", "INVALID", "MIXED", "UNKNOWN"})
"""States of a node that has jobs, or may have some."""
_HOLDS_NODES: Final = frozenset(
    {
        "COMPLETING",
        "CONFIGURING",
        "RESIZING",
        "RUNNING",
        "SIGNALING",
        "STAGE_OUT",
        "STOPPED",
        "SUSPENDED",
    }
)
"""States of a job that holds its nodes."""


@dataclass(frozen=True, slots=True)
class SlurmNode:
    """A node."""

    name: str
    hostname: str
    states: frozenset[str]
    reason: str
    reason_since: float
    """When the reason was set, in seconds since the epoch. Infinite if Slurm does not report it."""

    @classmethod
    def parse(cls, node: Mapping[str, Any]) -> Self:
        """Parse a node of the API."""
        since = node.get("reason_changed_at")  # a number in v0.0.39, an object from v0.0.40 on
        since = since.get("number") if isinstance(since, dict) else since
        return cls(
            name=node["name"],
            hostname=node.get("hostname") or "",
            states=_states(node["state"]),
            reason=node.get("reason") or "",
            reason_since=float(since or math.inf),
        )

    @property
    def is_drained(self) -> bool:
        """Whether no new job starts on it."""
        return bool(self.states & _DRAINED)

    @property
    def is_busy(self) -> bool:
        """Whether it has jobs, or may have some."""
        return bool(self.states & _BUSY)


@dataclass(frozen=True, slots=True)
class Job:
    """A job that holds nodes."""

    job_id: int
    user: str
    nodes: str
    """A host list, such as `ip-10-1-0-[1-3,7],ip-10-1-1-9`."""
    may_requeue: bool

    def __str__(self) -> str:
        return f"job {self.job_id}" + (f" of {self.user}" if self.user else "")

    def hosts(self) -> Iterator[str]:
        """Yield the names of the nodes that it holds."""
        for pattern in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", self.nodes):
            parts = re.split(r"\[([^\]]*)\]", pattern)  # every second one is in brackets
            choices = [[text] for text in parts]
            choices[1::2] = map(_numbers, parts[1::2])
            yield from map("".join, product(*choices))


class Slurm:
    """A client of one slurmrestd. Every method raises `SchedulerError`."""

    def __init__(self, url: str, *, user: str, token: str) -> None:
        """Find out which version of the API is served.

        Args:
            url: `https://` or `http://`, host and port.
            user: the user of the token: root, SlurmUser, or an operator.
            token: the JWT.
        """
        if not token or not token.isascii() or not token.isprintable():
            # http.client would refuse it, too, in an error that shows it.
            raise SchedulerError(
                "the secret is not a JWT: its text must be the token alone, in one line"
            )
        self._url = url
        self._headers = {
            "X-SLURM-USER-NAME": user,
            "X-SLURM-USER-TOKEN": token,
            "Content-Type": "application/json",
        }
        self.version = version_of(self._call("GET", "/openapi/v3"))
        self._base = f"/slurm/{self.version}"

    def nodes(self) -> list[SlurmNode]:
        """List all nodes."""
        return [SlurmNode.parse(node) for node in self._list("nodes")]

    def jobs(self) -> list[Job]:
        """List the jobs that hold nodes, as far as the user may see them."""
        return [
            Job(job["job_id"], job.get("user_name") or "", job["nodes"], bool(job.get("requeue")))
            for job in self._list("jobs")
            if job.get("nodes") and _states(job["job_state"]) & _HOLDS_NODES
        ]

    def update(self, node: str, state: str, reason: str = "") -> str:
        """Update the state of a node. Returns Slurm's errors, which need not be complete."""
        body = {"state": [state], **({"reason": reason} if reason else {})}
        return _errors(self._call("POST", f"{self._base}/node/{quote(node, safe='')}", body))

    def cancel(self, job: Job) -> str:
        """Cancel a job. Returns Slurm's errors."""
        return _errors(self._call("DELETE", f"{self._base}/job/{job.job_id}"))

    def _list(self, kind: str) -> list[Mapping[str, Any]]:
        response = self._call("GET", f"{self._base}/{kind}/")
        if kind not in response or _errors(response):
            error = _errors(response) or "no reason was given"
            raise SchedulerError(f"Slurm does not list its {kind}: {error}", is_transient=True)
        return list(response[kind])

    def _call(self, method: str, path: str, body: object = None) -> Mapping[str, Any]:
        text = None if body is None else json.dumps(body)
        # Of its own: nothing says for how long slurmrestd keeps a connection open.
        with closing(Server(self._url, timeout=_TIMEOUT)) as server:
            status, content = server.send(method, path, self._headers, text)
        if status in {401, 403, 511}:
            raise SchedulerError(
                f"slurmrestd refuses the token (HTTP {status}); renew the token in the secret, for"
                " a user who may change nodes"
            )
        try:
            response = json.loads(content)
        except ValueError:
            response = None
        is_refused = status >= 300  # noqa: PLR2004
        # Slurm's own refusals have errors; a gateway's do not.
        if not isinstance(response, dict) or (is_refused and "errors" not in response):
            received = f"HTTP {status}" if is_refused else "no JSON object"
            raise SchedulerError(
                f"slurmrestd responded to {method} {path} with {received}",
                is_transient=status == 429 or status >= 500,  # noqa: PLR2004
            )
        return response


def version_of(document: Mapping[str, Any]) -> str:
    """Return the version of the API to use, from the OpenAPI document of the daemon.

    Raises:
        SchedulerError: it serves no version that can change a node.
    """
    served = {
        int(match[1]): "post" in methods
        for path, methods in (document.get("paths") or {}).items()
        if (match := re.fullmatch(r"/slurm/v0\.0\.(\d+)/node/\{[^}]*\}/?", path))
    }
    usable = [number for number in sorted(served) if served[number] and number >= _OLDEST]
    if not usable:
        versions = ", ".join(f"v0.0.{number}" for number in sorted(served)) or "no version"
        raise SchedulerError(
            f"slurmrestd serves {versions} of its API, which cannot change a node; v0.0.{_OLDEST}"
            " or later is needed (Slurm 23.02)"
        )
    known = [number for number in usable if number <= _NEWEST]
    return f"v0.0.{known[-1] if known else usable[0]}"


def _states(value: object) -> frozenset[str]:
    """Read a list from v0.0.40 on (of a node, from v0.0.39 on), one text before."""
    return frozenset(map(str, value)) if isinstance(value, list) else frozenset({str(value)})


def _errors(response: Mapping[str, Any]) -> str:
    return "; ".join(
        " ".join(str(error[key]) for key in ("description", "error") if error.get(key))
        or "no reason was given"
        for error in response.get("errors") or ()
    )


def _numbers(ranges: str) -> list[str]:
    """Return the numbers of `8-11,20`, each padded with zeros to the width of its range's first."""
    bounds = (one.partition("-") for one in ranges.split(","))
    return [
        str(number).zfill(len(first))
        for first, _, last in bounds
        for number in range(int(first), int(last or first) + 1)
    ]
