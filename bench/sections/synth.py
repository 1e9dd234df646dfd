"""What a removal costs at synth: apps as whole processes."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from bench.project import ROOT
from bench.spread import Spread
from bench.telling import Chapter, Verdict, table

GOAL: Final = 1.15
BARE: Final = -1
"""Instead of removals, one Lambda function with a role and a log group, and nothing of ours."""
SIZES: Final = (0, BARE, 1, 10, 100)
"""Removals in the app; none is an empty CDK app."""
_LINEAR: Final = 1.25
"""How much more the 90 removals from 10 to 100 may cost each than the first ten."""

_APP: Final = """
import sys
from aws_cdk import App, Stack
count = int(sys.argv[1])
app = App(outdir="cdk.out", analytics_reporting=False)
stack = Stack(app, "Stack")
if count > 0:
    from hyperpod_node_removal import NodeRemoval
elif count < 0:
    from aws_cdk import aws_iam as iam, aws_lambda as lambda_, aws_logs as logs
    lambda_.Function(
        stack,
        "Function",
        runtime=lambda_.Runtime.PYTHON_3_14,
        handler="index.handler",
        code=lambda_.Code.from_inline("def handler(event, context): pass"),
        role=iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com")),
        log_group=logs.LogGroup(stack, "LogGroup"),
    )
for number in range(count):
    NodeRemoval(
        stack,
        f"Removal{number}",
        cluster_arn="arn:aws:sagemaker:us-east-1:111122223333:cluster/a1b2c3d4e5f6",
        node_ids=[f"i-{number:017x}"],
    )
app.synth()
"""


@dataclass(frozen=True)
class Synth:
    """One process."""

    cpu_seconds: float
    """Of the process and of the Node.js that it starts."""
    wall_seconds: float


def measure(rounds: int, sizes: Sequence[int] = SIZES) -> dict[int, list[Synth]]:
    """All sizes in turn, round by round, after one run that fills caches."""
    _one(0)
    found: dict[int, list[Synth]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size in sizes:
            found[size].append(_one(size))
    return found


def _one(removals: int) -> Synth:
    with tempfile.TemporaryDirectory() as folder:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(
            [sys.executable, "-c", _APP, str(removals)],
            cwd=folder,
            env={
                **os.environ,
                "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(ROOT / ".sandbox" / "jsii"),
                "CDK_DISABLE_CLI_TELEMETRY": "1",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # warnings at synth
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Synth(cpu, time.monotonic() - began)


def chapter(found: Mapping[int, Sequence[Synth]]) -> Chapter:
    """Section 5."""
    empty = found[0]
    cpu = {size: _ratio(found[size], empty, "cpu_seconds") for size in found}
    wall = {size: _ratio(found[size], empty, "wall_seconds") for size in found}
    bare = Spread.of_ratios(
        [synth.cpu_seconds for synth in found[1]], [synth.cpu_seconds for synth in found[BARE]]
    )
    middle = {
        size: Spread.of([synth.cpu_seconds for synth in synths]).middle
        for size, synths in found.items()
    }
    each = {"1 to 10": (middle[10] - middle[1]) / 9, "10 to 100": (middle[100] - middle[10]) / 90}
    return Chapter(
        title="Synth",
        what=(
            "Apps as whole processes, from the start of Python to a written `cdk.out`, the Node.js"
            " behind the CDK included; an empty app, one with a bare Lambda function, its role and its"
            " log group, which is what any custom resource needs, and apps with removals in one stack, in"
            " turn.\n\n"
            "Profiled: most of an empty app is the CDK's own validator of templates. What a function adds"
            " is the CDK's modules for it, in Python and in Node.js (`aws_lambda` brings `aws_ec2` along),"
            " and for code from a folder `aws_s3` and the tables of regions. Of the rest, 50 ms are spent"
            " on the function's code; modules for what a removal may ask for are imported by those that do."
        ),
        verdicts=[
            Verdict(
                f"one removal: at most {GOAL} of an empty app (CPU)",
                cpu[1].middle <= GOAL,
                cpu[1].text(),
            ),
            Verdict(
                f"one removal: at most {GOAL} of an empty app (wall)",
                wall[1].middle <= GOAL,
                wall[1].text(),
            ),
            Verdict(
                "one removal beside a bare function (CPU; no goal was set)",
                bare.middle <= cpu[1].middle,
                f"{bare.text()}; a bare function alone is {cpu[BARE].text()} of an empty app",
            ),
            Verdict(
                "linear after",
                each["10 to 100"] <= _LINEAR * max(each["1 to 10"], 0.001),
                ", ".join(
                    f"{value * 1000:.0f} ms of CPU each from {name}" for name, value in each.items()
                ),
            ),
        ],
        tables=[
            table(
                ["removals", "CPU s", "wall s", "CPU, ratio to empty", "wall, ratio to empty"],
                (
                    [
                        "a bare function" if size == BARE else size,
                        Spread.of([synth.cpu_seconds for synth in synths]).text(),
                        Spread.of([synth.wall_seconds for synth in synths]).text(),
                        cpu[size].text(),
                        wall[size].text(),
                    ]
                    for size, synths in found.items()
                ),
            )
        ],
        data={str(size): [asdict(synth) for synth in synths] for size, synths in found.items()},
    )


def _ratio(some: Sequence[Synth], empty: Sequence[Synth], key: str) -> Spread:
    return Spread.of_ratios(
        [getattr(synth, key) for synth in some], [getattr(synth, key) for synth in empty]
    )
