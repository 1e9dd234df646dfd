"""A real Slurm on this machine: Debian 13's daemons in a chroot, on 127.0.0.1.

`make slurm` (`python -m sandbox.slurm`) prepares the chroot, in 35 s and 285 MB. Debian 12's Slurm
has a REST API that cannot change a node, so it is Debian 13's, from the archive that the machine's
apt uses. munged, slurmctld, a slurmd for each node and slurmrestd run in namespaces of their own,
with a shell as process 1 that ends when its standard input is closed: they never outlive their
parent, and all that they mount goes with them.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from sandbox import project

FOLDER: Final = project.ROOT / ".slurm"
ROOT: Final = FOLDER / "root"
MISSING: Final = "there is no Slurm on this machine; `make slurm` prepares it, as root on Debian"
_READY: Final = FOLDER / "ready"
_SUITE: Final = "trixie"
_PACKAGES: Final = (
    "munge",
    "slurm-client",
    "slurm-wlm-basic-plugins",
    "slurm-wlm-jwt-plugin",
    "slurmctld",
    "slurmd",
    "slurmrestd",
)
START_SECONDS: Final = 30
_STARTED: Final = """\
set -e
mount -t proc proc /proc
hostname localhost
echo 127.0.0.1 localhost > /etc/hosts
export SLURM_CONF={folder}/slurm.conf
chown munge {folder} {folder}/munge.key
as() {{ setpriv --reuid="$1" --regid="$2" --clear-groups "${{@:3}}"; }}
as munge munge munged -F --socket {folder}/munge.socket --key-file {folder}/munge.key \\
  --pid-file {folder}/munge.pid --log-file {folder}/munge.log --seed-file {folder}/munge.seed &
until [ -S {folder}/munge.socket ]; do sleep 0.05; done
slurmctld -D &
for name in {nodes}; do slurmd -D -N "$name" & done
SLURM_JWT=daemon as slurm nogroup slurmrestd -a rest_auth/jwt -s slurmctld 127.0.0.1:{rest} &
read -r _ || true
"""
_CONFIGURATION: Final = """\
ClusterName=sandbox
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key={folder}/jwt.key
CredType=cred/munge
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SchedulerParameters=sched_interval=1
ReturnToService=1
KillWait=1
MinJobAge=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
"""


class PrepareError(Exception):
    """Slurm cannot be prepared on this machine. The text is a sentence."""


def is_prepared() -> bool:
    """Whether Slurm can be started on this machine."""
    return _READY.exists() and os.geteuid() == 0


def prepare() -> None:
    """Create the chroot, unless it exists.

    Raises:
        PrepareError: it cannot be created on this machine.
    """
    if is_prepared():
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise PrepareError("Slurm can be prepared as root on Debian only.")
    if shutil.which("debootstrap") is None:
        _run("apt-get", "update", "-qq")
        _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "debootstrap")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    packages = f"--include={','.join(_PACKAGES)}"
    _run("debootstrap", "--variant=minbase", packages, _SUITE, str(ROOT), _archive())
    _READY.touch()


def _archive() -> str:
    """Return the archive of Debian that this machine's apt uses."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for uri in done.stdout.split():
        if uri.endswith("/debian/"):
            return uri
    raise PrepareError("The settings of apt name no archive of Debian.")


def _run(*command: str) -> None:
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode:
        raise PrepareError(f"`{command[0]}` failed.")


class SlurmStartError(Exception):
    """Slurm did not start. The text ends with the last lines of its log."""


class Slurm:
    """A running Slurm."""

    def __init__(self, folder: Path, rest_api: str) -> None:
        self.rest_api = rest_api
        """URL of slurmrestd."""
        self._folder = folder

    @property
    def log(self) -> Path:
        """The log of the daemons."""
        return ROOT / self._folder.relative_to("/") / "log"

    @property
    def prefix(self) -> str:
        """What a shell needs before a Slurm command."""
        return f"chroot {ROOT} env SLURM_CONF={self._folder}/slurm.conf"

    def token(self, user: str = "root") -> str:
        """Create a token for the REST API that is valid for an hour."""
        return self.run("scontrol", "token", f"username={user}", "lifespan=3600").split("=")[1]

    def submit(self, *nodes: str, seconds: float = 3600, requeue: bool = True) -> int:
        """Start a job on nodes. Returns its id once it runs."""
        shape = ("-w", ",".join(nodes), "-N", str(len(nodes)), "--chdir=/tmp", "-o", "/dev/null")
        again = "--requeue" if requeue else "--no-requeue"
        wrapped = f"--wrap=exec sleep {seconds}"
        job = int(self.run("sbatch", "--parsable", again, *shape, wrapped))
        self.wait(lambda: "RUNNING" in self.job_states(job), f"job {job} does not run")
        return job

    def cancel(self, job: int) -> None:
        """End a job."""
        self.run("scancel", str(job))

    def job_states(self, job: int) -> list[str]:
        """Return the states of a job."""
        return list(self._show("job", str(job), "jobs")["job_state"])

    def node(self, name: str) -> dict[str, Any]:
        """Return a node as `scontrol` shows it."""
        return self._show("node", name, "nodes")

    def states(self, name: str) -> set[str]:
        """Return the states of a node."""
        return set(self.node(name)["state"])

    def update(self, name: str, **settings: str) -> None:
        """Change a node as an administrator would: `state="drain", reason="..."`."""
        changes = [f"{key}={value}" for key, value in settings.items()]
        self.run("scontrol", "update", f"nodename={name}", *changes)

    def wait(self, condition: Callable[[], bool], problem: str) -> None:
        """Wait until a condition holds.

        Raises:
            SlurmStartError: it does not hold within `START_SECONDS`.
        """
        until = time.monotonic() + START_SECONDS
        while not condition():
            if time.monotonic() > until:
                log = self.log.read_text(encoding="utf-8", errors="replace")
                raise SlurmStartError("\n".join([problem, *log.splitlines()[-40:]]))
            time.sleep(0.1)

    def run(self, *command: str) -> str:
        """Run a Slurm command. Returns its output."""
        return subprocess.run(
            [*self.prefix.split(), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    def _show(self, kind: str, name: str, key: str) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.run("scontrol", "--json", "show", kind, name))
        (one,) = shown[key]
        return dict(one)


@contextmanager
def slurm(nodes: Sequence[str]) -> Iterator[Slurm]:
    """Run Slurm with nodes of these names, with two CPUs each.

    Raises:
        SlurmStartError: it does not start within `START_SECONDS`.
    """
    folder = Path("/run", f"slurm-{secrets.token_hex(4)}")
    inside = ROOT / folder.relative_to("/")
    controller, rest, *ports = _free_ports(2 + len(nodes))
    _configure(inside, folder, dict(zip(nodes, ports, strict=True)), controller)
    start = _STARTED.format(folder=folder, nodes=" ".join(nodes), rest=rest)
    (inside / "start.sh").write_text(start, encoding="ascii")
    with (inside / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "sh", "-c"),
                f'mount --rbind /dev "$0/dev" && exec chroot "$0" bash {folder}/start.sh',
                str(ROOT),
            ],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    running = Slurm(folder, f"http://127.0.0.1:{rest}")
    try:
        running.wait(lambda: _is_up(running, nodes), "Slurm does not start")
        yield running
    finally:
        process.kill()
        process.communicate()
        shutil.rmtree(inside)


def _configure(inside: Path, folder: Path, nodes: dict[str, int], controller: int) -> None:
    (inside / "state").mkdir(parents=True)
    inside.chmod(0o755)
    for key, size in (("jwt.key", 32), ("munge.key", 128)):
        (inside / key).write_bytes(secrets.token_bytes(size))
        (inside / key).chmod(0o600)
    (inside / "cgroup.conf").write_text("CgroupPlugin=disabled\n", encoding="ascii")
    text = _CONFIGURATION.format(folder=folder, controller=controller)
    for name, port in nodes.items():
        (inside / name).mkdir()
        text += f"NodeName={name} NodeAddr=127.0.0.1 Port={port} CPUs=2\n"
    text += "PartitionName=all Nodes=ALL Default=YES\n"
    (inside / "slurm.conf").write_text(text, encoding="ascii")


def _is_up(running: Slurm, nodes: Sequence[str]) -> bool:
    try:
        is_idle = all("IDLE" in running.states(name) for name in nodes)
        with urllib.request.urlopen(
            urllib.request.Request(
                f"{running.rest_api}/openapi/v3",
                headers={"X-SLURM-USER-NAME": "root", "X-SLURM-USER-TOKEN": running.token()},
            ),
            timeout=5,
        ) as response:
            return is_idle and response.status == 200  # noqa: PLR2004
    except (OSError, subprocess.CalledProcessError, ValueError):
        return False


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        servers = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [server.getsockname()[1] for server in servers]


if __name__ == "__main__":
    try:
        prepare()
    except PrepareError as problem:
        sys.exit(f"Slurm is not prepared, and the tests that need it are skipped: {problem}")
