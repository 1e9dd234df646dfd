"""Queries for CloudWatch Logs Insights ask for fields that the function's log has."""

import logging
import re

import pytest

from hyperpod_node_removal_handler import report
from tests.docs.code_blocks import CodeBlock, all_code_blocks
from tests.handler.world import LOG, CloudFormation, World

QUERY = re.compile(r"^(?:fields|filter|stats|parse) ")
STRING = re.compile(r'"[^"]*"|\'[^\']*\'|/[^/]*/')
NAME = re.compile(r"@?[a-z]\w*")
OF_LAMBDA = {"@timestamp", "@message", "message", "level"}
LANGUAGE = re.compile(
    r"\b(?:fields|filter|stats|sort|limit|parse|by|as|asc|desc|and|or|in|like|not|count"
    r"|count_distinct|ispresent|max|min|avg|sum|bin)\b"
)

QUERIES = [
    block for block in all_code_blocks("insights", "text") if QUERY.match(block.text.lstrip())
]


class Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture(scope="module")
def log_fields() -> set[str]:
    """The fields of the log of a removal that has something of everything to tell."""
    world = World(cloudformation=CloudFormation())
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 4})
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad, "NodeIdInUse", "Another operation is under way.")
    handler = Kept()
    package = logging.getLogger("hyperpod_node_removal_handler")
    level = package.level
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        result = world.remove([bad, good], retry_for=0)
    finally:
        package.removeHandler(handler)
        package.setLevel(level)
    own = set(logging.makeLogRecord({}).__dict__)
    fields = {name for record in handler.records for name in vars(record)} - own
    for line in report.of_result(result, world.request, LOG).lines:
        fields |= set(line.fields)
    assert fields
    return fields


@pytest.mark.parametrize("query", QUERIES, ids=[query.place for query in QUERIES])
def test_queries_ask_for_what_is_there(query: CodeBlock, log_fields: set[str]) -> None:
    text = STRING.sub("", query.text)
    given = set(re.findall(r" as (\w+)", text))
    names = set(NAME.findall(LANGUAGE.sub("", text))) - given
    assert names
    assert names - OF_LAMBDA <= log_fields


def test_queries_are_found() -> None:
    assert len(QUERIES) >= 5
