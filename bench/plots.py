"""Plots as SVG: the same bytes for the same numbers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

from bench.runs import FLOOR, NAIVE, OURS, POLLER, PROVIDER
from bench.sections.cold_start import MEMORIES, Starts, start_seconds
from bench.sections.growth import PAYLOAD_MAX, Growth
from bench.sections.removals import Runs
from bench.spread import Spread

mpl.use("svg")
from matplotlib import pyplot

_SETTINGS: Final[dict[Any, Any]] = {
    "svg.hashsalt": "hyperpod-node-removal",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "figure.figsize": (7.2, 3.6),
}
_PEERS: Final = (OURS, FLOOR, NAIVE, POLLER, PROVIDER)


@contextmanager
def _plot(folder: Path, name: str, columns: int = 1) -> Iterator[Any]:
    with mpl.rc_context(_SETTINGS):
        figure, axes = pyplot.subplots(1, columns, layout="constrained")
        yield axes
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)


def time_to_done(runs: Runs, folder: Path) -> None:
    """How much longer than the last node each peer takes, by size; where it tells the truth."""
    times = sorted({within for _, within, _ in runs})
    with _plot(folder, "time-to-done", len(times)) as axes:
        for axis, within in zip(axes, times, strict=True):
            for peer in _PEERS:
                points = [
                    (nodes, Spread.of([one.seconds / max(one.last_left, 0.1) for one in told]))
                    for (nodes, when, name), told in sorted(runs.items())
                    if when == within and name == peer.name and all(one.is_done for one in told)
                ]
                if points:
                    axis.errorbar(
                        [nodes for nodes, _ in points],
                        [spread.middle for _, spread in points],
                        yerr=[
                            [spread.middle - spread.least for _, spread in points],
                            [spread.most - spread.middle for _, spread in points],
                        ],
                        label=peer.name,
                        marker="o",
                        markersize=3,
                        capsize=2,
                    )
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_title(f"nodes leave within {within:g} s", fontsize=9)
            axis.set_xlabel("nodes")
        axes[0].set_ylabel("time to the answer / last node left")
        axes[0].legend(fontsize=7)


def memory(starts: Starts, folder: Path) -> None:
    """Seconds of a cold start by memory of the function, modelled."""
    with _plot(folder, "memory") as axis:
        for name, usages in (("this product", starts.ours), ("crhelper, naive", starts.naive)):
            cpu = Spread.of([usage.cpu_seconds for usage in usages]).middle
            axis.plot(
                MEMORIES,
                [start_seconds(cpu, memory) for memory in MEMORIES],
                marker="o",
                markersize=3,
                label=name,
            )
        axis.set_xscale("log", base=2)
        axis.set_xticks(MEMORIES, [str(memory) for memory in MEMORIES])
        axis.minorticks_off()
        axis.set_xlabel("memory of the function, MB")
        axis.set_ylabel("start to first request, s (modelled)")
        axis.legend(fontsize=8)


def growth(found: Sequence[Growth], folder: Path) -> None:
    """Bytes by size of the set."""
    with _plot(folder, "growth") as axis:
        sizes = [row.nodes for row in found]
        for label, values in (
            ("template", [row.template_bytes for row in found]),
            ("event of the largest resource", [row.event_bytes for row in found]),
            ("hand-over of the largest resource", [row.handover_bytes for row in found]),
        ):
            axis.plot(sizes, values, marker="o", markersize=3, label=label)
        axis.axhline(PAYLOAD_MAX, linestyle="--", linewidth=0.8, color="0.4")
        axis.text(
            sizes[0],
            PAYLOAD_MAX * 1.1,
            f"{PAYLOAD_MAX // 1024} KB: asynchronous payload",
            fontsize=7,
        )
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("nodes")
        axis.set_ylabel("bytes")
        axis.legend(fontsize=8)
