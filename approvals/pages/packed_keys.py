"""Many keys as a short text for an address: runs of them as ranges, `3-50.77`."""

from __future__ import annotations

from collections.abc import Iterable

# No text holds more keys: what is beyond was made up.
MOST_KEYS = 50_000


def packed(keys: Iterable[int]) -> str:
    """Keys as text, in their order, each once."""
    runs: list[list[int]] = []
    for key in sorted(keys):
        if runs and key == runs[-1][1] + 1:
            runs[-1][1] = key
        else:
            runs.append([key, key])
    return ".".join(f"{first}-{last}" if first != last else str(first) for first, last in runs)


def unpacked(text: str) -> set[int]:
    """The keys that `packed` made a text of; what is none is passed over."""
    found: set[int] = set()
    for part in text.split("."):
        first, _dash, last = part.partition("-")
        begin, end = key(first), key(last or first)
        if begin and end - begin < MOST_KEYS - len(found):
            found.update(range(begin, end + 1))
    return found


def key(text: str) -> int:
    """A key from the address; 0, which is nothing's, for what can't be one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
