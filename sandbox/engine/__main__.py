"""The child process: `python -m sandbox.engine`, started by `sandbox.process`.

It serves on a socket that it inherits and keeps everything in memory. When its standard input ends,
it kills itself and the functions that it runs, so it never outlives its parent.
"""

import asyncio
import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from sandbox.engine import STOP, check_version


def main() -> None:
    """Serve until standard input ends.

    Settings are environment variables: `SANDBOX_SOCKET` (file descriptor of a listening socket),
    `SANDBOX_DIRECTORY` (for the functions' runtime), `SANDBOX_PYTHON` and
    `SANDBOX_RUNTIME_CLIENT` (see `functions.install`), `MINISTACK_SSL_CERT`,
    `MINISTACK_SSL_KEY`, and ministack's own.
    """
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    check_version()
    # ministack reads its settings when it is imported
    from sandbox.engine.gateway import application  # noqa: PLC0415

    config = Config()
    config.bind = [f"fd://{os.environ['SANDBOX_SOCKET']}"]
    config.certfile = os.environ["MINISTACK_SSL_CERT"]
    config.keyfile = os.environ["MINISTACK_SSL_KEY"]
    app: Any = application(
        endpoint=os.environ["AWS_ENDPOINT_URL"], directory=Path(os.environ["SANDBOX_DIRECTORY"])
    )
    asyncio.run(serve(app, config))


def _end_with_standard_input() -> None:
    """Clean up if the parent cannot, because it did not write `stop`, and end the process."""
    if sys.stdin.read() != STOP:
        shutil.rmtree(os.environ["SANDBOX_DIRECTORY"], ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)


main()
