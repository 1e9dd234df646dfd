"""A range as a regular expression matches the range."""

import re

from hypothesis import given
from hypothesis import strategies as st

from distribution.number_form import DIGITS_MAX, number_form


@given(st.integers(0, 20_000), st.integers(0, 20_000), st.data())
def test_it_matches_the_numbers_of_the_range_and_no_others(
    least: int, size: int, data: st.DataObject
) -> None:
    most = least + size
    form = re.compile(number_form(least, most))
    near = st.sampled_from([least - 1, least, least + 1, most - 1, most, most + 1])
    number = data.draw(near | st.integers(0, 100_000))
    assert bool(form.fullmatch(str(number))) == (least <= number <= most)


def test_leading_zeros_are_as_many_as_the_function_reads() -> None:
    form = re.compile(number_form(60, 3600))
    assert form.fullmatch("60".zfill(DIGITS_MAX))
    assert not form.fullmatch("60".zfill(DIGITS_MAX + 1))
