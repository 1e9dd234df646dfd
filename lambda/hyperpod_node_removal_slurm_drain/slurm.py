"""The REST API of Slurm (`slurmrestd`), as far as a drain goes, and its shapes by version.

Tried against Slurm 24.11 (v0.0.40 to v0.0.42); the shapes of v0.0.39 are those of its published
OpenAPI document. Success is read from what a later look shows, never from an error number: a node
that does not exist answers with error_number 0.
"""

import http.client
import json
import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Self
from urllib.parse import quote

from hyperpod_node_removal_slurm_drain.hostlist import contains

_SECONDS: Final = 10
"""How long the API may take to connect, and for each read."""
_OLDEST, _NEWEST = 39, 42
"""Versions of the API whose shapes are known: v0.0.39 to v0.0.42."""
_BUSY: Final = frozenset({"ALLOCATED", "MIXED", "COMPLETING"})
_CLOSED: Final = frozenset({"DOWN", "DRAIN", "FAIL"})
_UNCLEAR: Final = frozenset({"ERROR", "INVALID", "UNKNOWN"})
_ON_NODE: Final = frozenset(
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


class _AsItCame(urllib.request.HTTPErrorProcessor):
    """Answers of any status. Above all, no redirect is followed: the token is for one place."""

    def http_response(self, request: object, response: Any) -> Any:  # noqa: ARG002
        return response

    https_response = http_response


_OPENER: Final = urllib.request.build_opener(_AsItCame)


class SlurmError(Exception):
    """A call that was not carried out. Its text is a sentence."""

    def __init__(self, sentence: str, *, is_transient: bool = False) -> None:
        super().__init__(sentence)
        self.is_transient = is_transient
        """Whether it may pass by itself."""


@dataclass(frozen=True, slots=True)
class SlurmNode:
    """A node as Slurm shows it."""

    name: str
    hostname: str
    states: frozenset[str]
    reason: str
    reason_since: float
    """When the reason was given, in seconds since the epoch."""

    @classmethod
    def of(cls, shown: Mapping[str, Any]) -> Self:
        return cls(
            name=shown["name"],
            hostname=shown.get("hostname") or "",
            states=_states(shown["state"]),
            reason=shown.get("reason") or "",
            reason_since=_number(shown.get("reason_changed_at")),
        )

    @property
    def is_drained(self) -> bool:
        """Whether no new job starts on it."""
        return bool(self.states & _CLOSED)

    @property
    def is_free(self) -> bool:
        """Whether no job is on it. What Slurm itself is not sure of is not free."""
        return not self.states & (_BUSY | _UNCLEAR)


@dataclass(frozen=True, slots=True)
class Job:
    """A job that holds nodes."""

    job_id: int
    user: str
    nodes: str
    """A host list."""
    may_requeue: bool

    def __str__(self) -> str:
        return f"job {self.job_id}" + (f" of {self.user}" if self.user else "")


class Slurm:
    """A client of one slurmrestd. Every method raises `SlurmError`."""

    def __init__(self, url: str, *, user: str, token: str) -> None:
        """Find out which version of the API is served.

        Args:
            url: `https://` or `http://`, host and port.
            user: the user whose token it is: root, SlurmUser, or an operator.
            token: the JWT.
        """
        if not token or not token.isascii() or not token.isprintable():
            # http.client would refuse it, too, in an error that shows it.
            raise SlurmError("the secret is not a JWT: its text must be the token alone, in a line")
        self._url = url.rstrip("/")
        self._headers = {"X-SLURM-USER-NAME": user, "X-SLURM-USER-TOKEN": token}
        self.version = version_of(self._call("GET", "/openapi/v3"))
        self._base = f"/slurm/{self.version}"

    def nodes(self) -> list[SlurmNode]:
        """List all nodes."""
        return [SlurmNode.of(one) for one in self._listed("nodes")]

    def jobs(self) -> list[Job]:
        """List the jobs that hold nodes, as far as the user may see them."""
        return [
            Job(one["job_id"], one.get("user_name") or "", one["nodes"], bool(one.get("requeue")))
            for one in self._listed("jobs")
            if one.get("nodes") and _states(one["job_state"]) & _ON_NODE
        ]

    def update(self, node: str, state: str, reason: str = "") -> str:
        """Ask for a state of a node. Returns what Slurm says against it, which need not be all."""
        body = {"state": [state], **({"reason": reason} if reason else {})}
        return _errors(self._call("POST", f"{self._base}/node/{quote(node, safe='')}", body))

    def cancel(self, job: Job) -> str:
        """Ask for a job to be canceled. Returns what Slurm says against it."""
        return _errors(self._call("DELETE", f"{self._base}/job/{job.job_id}"))

    def _listed(self, what: str) -> list[Mapping[str, Any]]:
        answer = self._call("GET", f"{self._base}/{what}/")
        if what not in answer or _errors(answer):
            raise SlurmError(
                f"Slurm does not list its {what}: {_errors(answer) or 'no reason was given'}",
                is_transient=True,
            )
        return list(answer[what])

    def _call(self, method: str, path: str, body: object = None) -> Mapping[str, Any]:
        request = urllib.request.Request(  # noqa: S310 (the scheme is checked at synth)
            self._url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers=self._headers | {"Content-Type": "application/json"},
            method=method,
        )
        try:
            with _OPENER.open(request, timeout=_SECONDS) as response:
                status, text = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "reason", "") or error or type(error).__name__
            raise SlurmError(f"slurmrestd does not answer: {why}", is_transient=True) from error
        if status in {401, 403, 511}:
            raise SlurmError(
                f"slurmrestd refuses the token (HTTP {status}); renew the token in the secret, for"
                " a user who may change nodes"
            )
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        is_refused = status >= HTTPStatus.MULTIPLE_CHOICES
        # Slurm's own refusals have errors; a gateway's do not.
        if not isinstance(answer, dict) or (is_refused and "errors" not in answer):
            what = f"HTTP {status}" if is_refused else "no JSON object"
            raise SlurmError(
                f"slurmrestd answered {method} {path} with {what}",
                is_transient=status == HTTPStatus.TOO_MANY_REQUESTS
                or status >= HTTPStatus.INTERNAL_SERVER_ERROR,
            )
        return answer


def version_of(document: Mapping[str, Any]) -> str:
    """Return the version of the API to use, from the OpenAPI document of the daemon.

    Raises:
        SlurmError: none that can change a node.
    """
    paths = document.get("paths") or {}
    found = {
        int(match[1]): "post" in methods
        for path, methods in paths.items()
        if (match := re.fullmatch(r"/slurm/v0\.0\.(\d+)/node/\{[^}]*\}/?", path))
    }
    able = sorted(number for number, can_change in found.items() if can_change)
    known = [number for number in able if _OLDEST <= number <= _NEWEST]
    newer = [number for number in able if number > _NEWEST]
    if not known and not newer:
        served = ", ".join(f"v0.0.{number}" for number in sorted(found)) or "no version"
        raise SlurmError(
            f"slurmrestd serves {served} of its API, which cannot change a node; v0.0.{_OLDEST} or"
            " later is needed (Slurm 23.02)"
        )
    return f"v0.0.{known[-1] if known else newer[0]}"


def on_node(jobs: list[Job], node: str) -> list[Job]:
    """Return the jobs that hold a node."""
    return [job for job in jobs if contains(job.nodes, node)]


def _states(shown: object) -> frozenset[str]:
    """A list from v0.0.40 on (of a node, from v0.0.39 on), one text before."""
    return frozenset(map(str, shown)) if isinstance(shown, list) else frozenset({str(shown)})


def _number(shown: object) -> float:
    """A plain number in v0.0.39, an object from v0.0.40 on."""
    number = shown.get("number") if isinstance(shown, dict) else shown
    return float(number) if isinstance(number, int | float) else 0.0


def _errors(answer: Mapping[str, Any]) -> str:
    told = [
        " ".join(str(one[key]) for key in ("description", "error") if one.get(key))
        for one in answer.get("errors") or ()
    ]
    return "; ".join(text or "no reason was given" for text in told)
