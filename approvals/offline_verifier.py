"""Verify an export of the audit trail (JSON lines) without the portal: python offline_verifier.py FILE

Needs Python 3.8 or newer and nothing else. Every line's hash is computed anew from its text and the hash
before it. Lines that follow each other by number must be linked; a filtered export has gaps, which are told.
Prints what it found and exits 0; names the first bad event and exits 1.

This shows edits, deletions between linked events and swaps. That the end was not cut off, and that the chain
was not rewritten as a whole, shows only against a head hash that was kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable

DOMAIN = b"waqiti-audit/v1\0"


class Bad(Exception):
    """A line that does not hold; the message says which and why."""


def verify(lines: Iterable[str]) -> tuple[int, int, int | None, str]:
    """Return (events, gaps, last number, last hash in hex). Raises Bad for the first line that fails."""
    events, gaps, head = 0, 0, b""
    last: int | None = None
    for place, line in enumerate(lines, start=1):
        try:
            found = json.loads(line)
            seq, body = found["seq"], found["body"]
            prev, stored = bytes.fromhex(found["prev"]), bytes.fromhex(found["hash"])
            inner = json.loads(body)["seq"]
        except (ValueError, KeyError, TypeError) as error:
            raise Bad(f"line {place} can't be read: {error}") from None
        if hashlib.sha256(DOMAIN + prev + body.encode()).digest() != stored:
            raise Bad(f"event {seq} was changed after it was written")
        if inner != seq:
            raise Bad(f"event {seq} carries another event's number inside")
        if last is not None and seq <= last:
            raise Bad(f"event {seq} is not in its place")
        if last is not None and seq == last + 1 and prev != head:
            raise Bad(f"event {seq} does not follow from event {last}")
        gaps += seq != (0 if last is None else last + 1)
        events, last, head = events + 1, seq, stored
    return events, gaps, last, head.hex()


def main(path: str) -> int:
    """Verify one file and say so; returns the exit status."""
    try:
        with open(path, encoding="utf-8") as lines:
            events, gaps, last, head = verify(lines)
    except (Bad, OSError, ValueError, TypeError, AttributeError, RecursionError) as problem:
        return say(f"NOT GOOD: {problem}", 1)
    if not events:
        return say("NOT GOOD: the file holds no event", 1)
    linked = f"with {gaps} gaps, as in a filtered export" if gaps else "each linked to the one before"
    return say(f"GOOD: {events} events, {linked}. The last is {last}, head {head}", 0)


def say(sentence: str, status: int) -> int:
    """Write a line to standard output and return the exit status that goes with it."""
    sys.stdout.write(sentence + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) if len(sys.argv) == 2 else __doc__)
