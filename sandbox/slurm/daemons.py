"""Slurm's daemons: munged, slurmctld, a slurmd for each node, slurmrestd.

They run in namespaces of their own, with a shell as process 1 that ends when its standard input is
closed. So they never outlive their parent, and all that they mount goes with them.
"""

import json
import secrets
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from sandbox.slurm.root import ROOT

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


class SlurmStartError(Exception):
    """Slurm did not start. The text ends with the last lines of its log."""


class Slurm:
    """A Slurm that runs."""

    def __init__(self, folder: Path, rest_api: str) -> None:
        self.rest_api = rest_api
        """URL of slurmrestd."""
        self._folder = folder

    @property
    def log(self) -> Path:
        """What the daemons say."""
        return ROOT / self._folder.relative_to("/") / "log"

    @property
    def prefix(self) -> str:
        """What a shell needs before a command of Slurm's."""
        return f"chroot {ROOT} env SLURM_CONF={self._folder}/slurm.conf"

    def token(self, user: str = "root") -> str:
        """Make a token for the REST API, for an hour."""
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
        return list(self._shown("job", str(job), "jobs")["job_state"])

    def node(self, name: str) -> dict[str, Any]:
        """Return a node as `scontrol` shows it."""
        return self._shown("node", name, "nodes")

    def states(self, name: str) -> set[str]:
        """Return the states of a node."""
        return set(self.node(name)["state"])

    def update(self, name: str, **settings: str) -> None:
        """Change a node as an administrator does: `state="drain", reason="..."`."""
        changes = [f"{key}={value}" for key, value in settings.items()]
        self.run("scontrol", "update", f"nodename={name}", *changes)

    def wait(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait until something is so.

        Raises:
            SlurmStartError: it does not come to be within `START_SECONDS`.
        """
        until = time.monotonic() + START_SECONDS
        while not is_so():
            if time.monotonic() > until:
                log = self.log.read_text(encoding="utf-8", errors="replace")
                raise SlurmStartError("\n".join([what, *log.splitlines()[-40:]]))
            time.sleep(0.1)

    def run(self, *command: str) -> str:
        """Run a command of Slurm's. Returns what it prints."""
        return subprocess.run(
            [*self.prefix.split(), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    def _shown(self, kind: str, name: str, key: str) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.run("scontrol", "--json", "show", kind, name))
        (one,) = shown[key]
        return dict(one)


@contextmanager
def slurm(nodes: Sequence[str]) -> Iterator[Slurm]:
    """Run Slurm with nodes of these names, of two CPUs each.

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
