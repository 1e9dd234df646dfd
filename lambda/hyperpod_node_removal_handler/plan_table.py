"""The plan in the log: a row for each node under a header, then a line for each group."""

import logging
from collections.abc import Iterator
from typing import Final

from hyperpod_node_removal_handler.log_lines import LogLine
from hyperpod_node_removal_handler.plan import Plan

_HEADER: Final = ("ACTION", "NODE", "GROUP", "TYPE", "STATUS", "REASON")


def log_lines(plan: Plan) -> Iterator[LogLine]:
    """The whole table. Each line has its values as fields too, for CloudWatch Logs Insights."""
    rows = plan.rows()
    table = [_HEADER, *(row.cells for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]

    def line(cells: tuple[str, ...]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return f"Plan: {'  '.join(padded)}".rstrip()

    yield LogLine(logging.INFO, line(_HEADER))
    for row in rows:
        yield LogLine(logging.INFO, line(row.cells), row._asdict())
    for name, group in plan.by_group().items():
        yield LogLine(
            logging.INFO,
            f"Plan: {name}: {group.to_remove + group.remaining} nodes, {group.to_remove} to remove,"
            f" {group.remaining} remain",
            {"group": name, **group._asdict()},
        )
