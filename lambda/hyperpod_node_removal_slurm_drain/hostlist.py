"""Slurm's short form for many host names: `ip-10-1-0-[1-3,7],ip-10-1-1-9`."""

import re


def contains(hostlist: str, name: str) -> bool:
    """Whether a host list names the host."""
    return any(_matches(one, name) for one in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", hostlist))


def _matches(pattern: str, name: str) -> bool:
    parts = re.split(r"\[([^\]]*)\]", pattern)
    texts, ranges = parts[::2], parts[1::2]
    found = re.fullmatch(r"(\d+)".join(re.escape(text) for text in texts), name)
    return found is not None and all(
        _is_in(number, given) for number, given in zip(found.groups(), ranges, strict=True)
    )


def _is_in(number: str, ranges: str) -> bool:
    """Whether a number is in `1-3,7`. It is padded with zeros to the width of a range's first."""
    for one in ranges.split(","):
        first, _, last = one.partition("-")
        is_padded = number == str(int(number)).zfill(len(first))
        if is_padded and int(first) <= int(number) <= int(last or first):
            return True
    return False
