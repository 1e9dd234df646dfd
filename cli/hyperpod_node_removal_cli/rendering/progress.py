"""Progress as it comes: lines above a status on a terminal, plain lines elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

from rich.text import Text

from hyperpod_node_removal_cli.rendering.escaping import inert, visible
from hyperpod_node_removal_cli.rendering.terminal import console_of

if TYPE_CHECKING:  # it imports boto3
    from hyperpod_node_removal_cli.watching import Progress


_SPINNER: Final = 4
"""Columns of the spinner, and some."""


@contextmanager
def progress_on(stream: TextIO) -> Iterator["Callable[[Progress], None]"]:
    """What tells of progress on a stream for as long as this lasts."""
    console = console_of(stream)
    if not console.is_terminal:

        def tell_line(progress: "Progress") -> None:
            stream.write(f"{_line(progress)}\n")
            stream.flush()

        yield tell_line
        return
    with console.status("Waiting for CloudFormation") as status:

        def tell(progress: "Progress") -> None:
            if progress.is_round:
                line = Text(_line(progress))
                # A line that is folded could begin anew with what a pipeline takes for a command.
                line.truncate(console.width - _SPINNER, overflow="crop")
                status.update(line)
            else:
                style = "red" if progress.is_failure else ""
                console.print(Text(_line(progress), style=style), soft_wrap=True)

        yield tell


def _line(progress: "Progress") -> str:
    return inert(f"{progress.time:%H:%M:%S} {visible(progress.text)}")
