"""The tests of the workflows rest on this reading of their expressions."""

import pytest

from tests.pipelines.expressions import Expressions

CONTEXTS = {"github": {"ref": "r", "event": {"number": 7}}, "needs": {"a": {"result": "failure"}}}
FUNCTIONS = {"success": lambda: False, "cancelled": lambda: False}
READER = Expressions(CONTEXTS, FUNCTIONS)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("github.event.number", 7),
        ("github.event.before", None),
        ("github.ref == 'r'", True),
        ("github.ref != 'it''s'", True),
        ("!cancelled() && needs.a.result != 'skipped'", True),
        ("!(cancelled() || success())", True),
        ("fromJSON('[1]')", [1]),
    ],
)
def test_values(text: str, value: object) -> None:
    assert READER.value(text) == value


def test_holes_in_a_text() -> None:
    assert READER.filled("a-${{ github.ref }}-${{ github.event.before }}") == "a-r-"
    assert READER.filled("${{ github.event.number }}") == 7


def test_a_condition_wants_success_unless_it_says_otherwise() -> None:
    assert not READER.condition(None)
    assert not READER.condition("github.ref == 'r'")
    assert READER.condition("${{ !cancelled() }}")


def test_what_is_not_understood_is_no_silence() -> None:
    with pytest.raises(AssertionError, match="not understood"):
        READER.value("github.ref + 1")
    with pytest.raises(KeyError):
        READER.value("secrets.KEY")
