"""The engine's process: started on a free port, with its certificates, never without its parent."""

import contextlib
import http.client
import json
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

import trustme

from sandbox.engine import OWN_PATHS, STOP
from sandbox.project import ROOT

START_SECONDS: Final = 60
STOP_SECONDS: Final = 10
_LOG_LINES: Final = 40


class SandboxError(Exception):
    """The embedded AWS failed. The text ends with the last lines of its log."""


def make_certificates(directory: Path) -> Path:
    """Create an authority that signs 127.0.0.1. Returns the path of its certificate.

    The server's certificate, with its chain, and its key are `server.pem` and `server.key`.
    """
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    leaf.private_key_pem.write_to_path(str(directory / "server.key"))
    for number, blob in enumerate(leaf.cert_chain_pems):
        blob.write_to_path(str(directory / "server.pem"), append=number > 0)
    path = directory / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@contextmanager
def running_engine(directory: Path, settings: Mapping[str, str]) -> Iterator[str]:
    """Run the engine. Yields its endpoint URL once it responds.

    Args:
        directory: has the certificates; the log and temporary files are written there.
        settings: more environment variables, among them SSL_CERT_FILE.

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
                env=_environment(listener, directory) | dict(settings),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[listener.fileno()],
                # a group of its own, so that its functions can be ended with it
                start_new_session=True,
            )
    try:
        try:
            # The socket listens already, so the response comes when the engine is up.
            request(endpoint, Path(settings["SSL_CERT_FILE"]), "idle")
        except OSError as error:
            raise SandboxError(f"the engine did not start: {error}\n{log_tail(log)}") from error
        yield endpoint
    finally:
        _stop(process)


def _environment(listener: socket.socket, directory: Path) -> dict[str, str]:
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
        "MINISTACK_SSL_CERT": str(directory / "server.pem"),
        "MINISTACK_SSL_KEY": str(directory / "server.key"),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": f"unix://{directory}/no-docker.sock",
        "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.1",
        # passed on to the functions
        "AWS_ENDPOINT_URL": f"https://127.0.0.1:{port}",
    }


def request(
    endpoint: str,
    authority: Path,
    path: str,
    value: object = None,
    seconds: float = START_SECONDS,
) -> str:
    """Put a JSON value to one of `OWN_PATHS`. Returns the body of the response."""
    connection = http.client.HTTPSConnection(
        endpoint.removeprefix("https://"),
        timeout=seconds,
        context=ssl.create_default_context(cafile=str(authority)),
    )
    with contextlib.closing(connection):
        connection.request("PUT", OWN_PATHS + path, json.dumps(value))
        response = connection.getresponse()
        text = response.read().decode()
    if response.status != http.client.OK:
        raise SandboxError(f"the engine responds {response.status} to {path}: {text}")
    return text


def log_tail(log: Path) -> str:
    """Return the last lines of the engine's log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the engine and its functions. It kills its whole group when its input ends."""
    try:
        process.communicate(STOP.encode(), timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
