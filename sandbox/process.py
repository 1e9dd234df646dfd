"""The engine's process: started on a free port, and never outliving its parent."""

import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sandbox.certificates import Certificates
from sandbox.engine import STOP
from sandbox.project import ROOT

START_SECONDS: Final = 60
STOP_SECONDS: Final = 10
_LOG_TAIL: Final = 40


class SandboxError(Exception):
    """The embedded AWS did not do what it is there for. The text ends with its last log lines."""


@contextmanager
def running_engine(
    directory: Path, certificates: Certificates, settings: Mapping[str, str]
) -> Iterator[str]:
    """Run the engine. Yields its endpoint URL as soon as it answers.

    Args:
        directory: takes the log, the records and the temporary files. It must exist.
        settings: environment variables beside those that this function makes.

    Raises:
        SandboxError: it does not start within START_SECONDS.
    """
    log = directory / "engine.log"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "sandbox.engine"],
                cwd=ROOT,
                env=_environment(listener, directory, certificates) | dict(settings),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[listener.fileno()],
                # a group of its own, so that its functions can be ended with it
                start_new_session=True,
            )
    try:
        _await_answer(endpoint, certificates, log)
        yield endpoint
    finally:
        _stop(process)


def _environment(
    listener: socket.socket, directory: Path, certificates: Certificates
) -> dict[str, str]:
    port = str(listener.getsockname()[1])
    temporary = directory / "tmp"
    temporary.mkdir()
    return {
        "HOME": str(directory),
        "TMPDIR": str(temporary),
        "SANDBOX_SOCKET": str(listener.fileno()),
        "SANDBOX_DIRECTORY": str(directory),
        # ministack's own: where it is, and nothing on fixed ports or outside this machine
        "GATEWAY_PORT": port,
        "MINISTACK_HOST": "127.0.0.1",
        "BIND_HOST": "127.0.0.1",
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(certificates.certificate),
        "MINISTACK_SSL_KEY": str(certificates.key),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": f"unix://{directory}/no-docker.sock",
        "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.1",
        # handed on to the functions
        "AWS_ENDPOINT_URL": f"https://127.0.0.1:{port}",
    }


def _await_answer(endpoint: str, certificates: Certificates, log: Path) -> None:
    """One request. The socket listens already, so it is answered when the engine is up."""
    host = endpoint.removeprefix("https://")
    context = ssl.create_default_context(cafile=str(certificates.authority))
    connection = http.client.HTTPSConnection(host, timeout=START_SECONDS, context=context)
    try:
        connection.request("GET", "/sandbox/idle")
        status = connection.getresponse().status
    except OSError as error:
        raise SandboxError(f"the engine did not start: {error}\n{log_tail(log)}") from error
    finally:
        connection.close()
    if status != http.client.OK:
        raise SandboxError(f"the engine answers {status}\n{log_tail(log)}")


def log_tail(log: Path) -> str:
    """The last lines of the engine's log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the engine and its functions. It kills its whole group when its input ends."""
    try:
        process.communicate(STOP.encode(), timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
