"""Flyway's `.conf` files: Java's properties, with what Flyway does to the text before."""

from __future__ import annotations

import re

_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_SPLIT = re.compile(r"((?:\\.|[^\\=: \t\f])*)[ \t\f]*[=:]?[ \t\f]*(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$\{([A-Za-z0-9_.]+)\}")


def parse(text: str) -> dict[str, str]:
    """Keys and values as Flyway's `ConfigUtils.loadConfigurationFromString` gets them (Flyway 13).

    A backslash stands for itself, but at the end of a line it joins the next one. Of two equal keys the last
    counts. Variables of the environment (`${NAME}`) are left as they are; see `variables`.
    """
    found: dict[str, str] = {}
    for line in _logical_lines(text):
        match = _SPLIT.match(line)
        if match:
            found[_unescaped(match[1])] = _unescaped(match[2])
    return found


def variables(value: str) -> list[str]:
    """What Flyway fills in from its environment: `NAME` in a .conf file, `env.NAME` and the like in TOML."""
    return _VARIABLE.findall(value)


def _prepared(text: str) -> list[str]:
    """Double each backslash, except one that joins a line to the next."""
    lines = text.replace("\r\n", "\n").split("\n")
    prepared = []
    for number, line in enumerate(lines):
        doubled = line.strip(_JAVA_BLANKS).replace("\\", "\\\\")
        if doubled.endswith("\\\\") and number < len(lines) - 1 and _continues(lines[number + 1]):
            doubled = doubled[:-2] + "\\"
        prepared.append(doubled)
    return prepared


_JAVA_BLANKS = "".join(map(chr, range(0x21)))


def _continues(following: str) -> bool:
    is_property = following.strip(_JAVA_BLANKS).startswith("flyway.") and "=" in following
    is_expression = not following.startswith("shouldExecute") and ("==" in following or "!=" in following)
    return following != "" and (not is_property or is_expression)


def _logical_lines(text: str) -> list[str]:
    """Lines as java.util.Properties reads them: comments and blank lines gone, continuations joined."""
    found: list[str] = []
    joined = ""
    going_on = False
    for prepared in _prepared(text):
        for natural in re.split(r"[\r\n]", prepared):
            line = natural.lstrip(" \t\f")
            if not going_on and (not line or line[0] in "#!"):
                continue
            backslashes = len(line) - len(line.rstrip("\\"))
            going_on = backslashes % 2 == 1
            joined += line[:-1] if going_on else line
            if not going_on:
                found.append(joined)
                joined = ""
    return [*found, joined] if joined else found


def _unescaped(text: str) -> str:
    def plain(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        return _ESCAPES.get(match[2], match[2])

    return re.sub(r"\\(?:u([0-9A-Fa-f]{4})|(.))", plain, text, flags=re.DOTALL)
