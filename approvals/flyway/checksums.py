"""Flyway's checksum of a file, and where a file stops being readable text."""

from __future__ import annotations

import codecs
import re
import zlib
from bisect import bisect_right
from collections.abc import Sequence

BOM = "\ufeff"
_LINE_END = re.compile(r"\r\n|\r|\n")


class EncodingProblem(ValueError):
    """The bytes are not text in the expected encoding.

    `line` and `column` (both from 1, columns in characters) tell where the first bad byte stands, `byte` is
    its value, `guess` is a phrase such as "looks like Latin-1".
    """

    def __init__(self, line: int, column: int, byte: int, encoding: str, guess: str) -> None:
        self.line, self.column, self.byte, self.encoding, self.guess = line, column, byte, encoding, guess
        super().__init__(
            f"byte 0x{byte:02X} at line {line}, column {column} is not {encoding.upper()}: the file {guess}; "
            f"save it as {encoding.upper()}"
        )


def line_starts(text: str) -> list[int]:
    """The offset at which each line begins. Lines end at \\n, \\r and \\r\\n and nowhere else."""
    return [0, *(end.end() for end in _LINE_END.finditer(text))]


def position(starts: Sequence[int], offset: int) -> tuple[int, int]:
    """Line and column (both from 1) of the character at `offset`, given the `line_starts` of its text."""
    line = bisect_right(starts, offset)
    return line, offset - starts[line - 1] + 1


def decode(data: bytes, encoding: str = "utf-8") -> str:
    """Decode strictly, as Flyway does; a byte-order mark stays in the text. Raises EncodingProblem.

    `encoding` is Python's name. UTF-16 without a byte order takes it from the mark, which is then no part of
    the text; without a mark the high byte comes first, as Java has it.
    """
    if encoding == "utf-16":
        encoding = "utf-16-le" if data.startswith(codecs.BOM_UTF16_LE) else "utf-16-be"
        marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return decode(data[2 if marked else 0 :], encoding)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as bad:
        before = data[: bad.start].decode(encoding, "replace").removeprefix(BOM)
        line, column = position(line_starts(before), len(before))
        raise EncodingProblem(line, column, data[bad.start], encoding, _guess(data, encoding)) from None


def checksum(data: bytes, encoding: str = "utf-8") -> int:
    """The signed 32-bit number that Flyway writes into the history for a file of these bytes.

    It is the CRC32 of all lines as UTF-8 without their ends, and without a byte-order mark before the first
    line, so line ends and the mark do not count. Raises EncodingProblem where Flyway would fail to read.
    """
    return checksum_of_text(decode(data, encoding))


def checksum_of_text(text: str) -> int:
    """The same for a file that is decoded already; a byte-order mark in front does not count."""
    # No line end is part of another character in UTF-8, so dropping the two bytes equals reading by lines.
    data = text.removeprefix(BOM).encode("utf-8").translate(None, b"\r\n")
    crc = zlib.crc32(data)
    return crc - (1 << 32) if crc >= 1 << 31 else crc


def same_lines(one: str, other: str) -> bool:
    """Whether two texts differ in nothing but line ends, byte-order marks and empty lines.

    Texts of one checksum need not: where lines end is not counted, so that `-- a` above `DROP` and `-- aDROP`
    have the same, and a number of 32 bits can be hit on purpose.
    """
    return _filled_lines(one) == _filled_lines(other)


def _filled_lines(text: str) -> list[str]:
    return [line for line in _LINE_END.split(text.removeprefix(BOM)) if line]


def _guess(data: bytes, encoding: str) -> str:
    if encoding != "utf-8":
        return "seems to be written in another encoding"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "looks like UTF-16"
    if any(ord(character) > 0x7F for character in data.decode("utf-8", "ignore")):
        return "looks like UTF-8 with damaged characters or a second encoding mixed in"
    if any(0x80 <= byte <= 0x9F for byte in data):
        return "looks like Windows-1252"
    return "looks like Latin-1"
