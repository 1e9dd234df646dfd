"""The metrics of a removal, as log lines in CloudWatch's embedded metric format.

A line is a metric if the whole log event is one JSON object with `_aws` at its root. Lambda's JSON
log format makes such an object of a log record, with the record's extra fields at the root.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Final

from hyperpod_node_removal_contract import signals
from hyperpod_node_removal_contract.signals import Dimension, Metric
from hyperpod_node_removal_handler.log_lines import LogLine
from hyperpod_node_removal_handler.result import FinishedRemoval

_UNITS: Final = {Metric.DURATION: "Seconds"}


def lines(finished: FinishedRemoval) -> tuple[LogLine, ...]:
    """A line with all metrics, and one for each code of failure."""
    tally = finished.tally
    cluster = {Dimension.CLUSTER_NAME: finished.cluster}
    values = {
        Metric.REMOVED_NODES: len(tally.removed),
        Metric.FAILED_NODES: len(tally.failed),
        Metric.ALREADY_ABSENT_NODES: len(tally.absent),
        Metric.DURATION: round(finished.result.elapsed, 3),
    }
    codes: Counter[str] = Counter()
    for code, nodes in finished.failed_by_code().items():
        codes[code if code in signals.METRIC_CODES else signals.OTHER_CODE] += len(nodes)
    ended = finished.result.ended
    return (
        _line("Metrics of the removal.", ended, cluster, values),
        *(
            _line(
                f"Metrics of the failures with {code}.",
                ended,
                cluster | {Dimension.CODE: code},
                {Metric.FAILED_NODES: count},
            )
            for code, count in codes.items()
        ),
    )


def _line(
    text: str,
    ended: float,
    dimensions: Mapping[Dimension, str],
    values: Mapping[Metric, float],
) -> LogLine:
    """One document of the format: each set of values of the dimensions needs one of its own."""
    directive = {
        "Namespace": signals.METRIC_NAMESPACE,
        "Dimensions": [[str(name) for name in dimensions]],
        "Metrics": [{"Name": str(name), "Unit": _UNITS.get(name, "Count")} for name in values],
    }
    return LogLine(
        logging.INFO,
        text,
        {
            "_aws": {"Timestamp": round(ended * 1000), "CloudWatchMetrics": [directive]},
            **{str(name): value for name, value in dimensions.items()},
            **{str(name): value for name, value in values.items()},
        },
    )
