"""What objects of every kind may have: owners, grants, comments, security labels; and default privileges."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from executor.schema.inverse.action import Action, statements
from executor.schema.inverse.family import Changes, Context, Family, comma, relation
from executor.schema.names import dotted, literal, quoted
from executor.schema.objects import Object, Ref

PRIVILEGES = {
    "r": "SELECT",
    "w": "UPDATE",
    "a": "INSERT",
    "d": "DELETE",
    "D": "TRUNCATE",
    "x": "REFERENCES",
    "t": "TRIGGER",
    "m": "MAINTAIN",
    "U": "USAGE",
    "X": "EXECUTE",
    "C": "CREATE",
}
OWNER, GRANTS, COMMENT, LABELS = 84, 90, 92, 93
_ITEM = re.compile(r'("(?:[^"]|"")*"|[^=]*)=([a-zA-Z*]*)/(.*)\Z', re.DOTALL)
GRANT_WORDS = {
    "table": "TABLE",
    "view": "TABLE",
    "materialized view": "TABLE",
    "foreign-data wrapper": "FOREIGN DATA WRAPPER",
    "server": "FOREIGN SERVER",
    "aggregate": "FUNCTION",
}
DEFAULT_WORDS = {
    "r": "TABLES",
    "S": "SEQUENCES",
    "f": "FUNCTIONS",
    "T": "TYPES",
    "n": "SCHEMAS",
    "L": "LARGE OBJECTS",
}


class Grant(NamedTuple):
    """One privilege of one role; the role as SQL."""

    role: str
    privilege: str
    grantable: bool


def grants(items: list[str] | None) -> list[Grant]:
    """The privileges in a list of aclitem texts, in their order."""
    found = []
    for item in items or []:
        match = _ITEM.match(item)
        if match is None:
            continue
        role = match[1] or "PUBLIC"
        if role != "PUBLIC" and not role.startswith('"'):
            role = quoted(role)
        for letter, star in re.findall(r"([a-zA-Z])(\*?)", match[2]):
            found.append(Grant(role, PRIVILEGES[letter], bool(star)))
    return found


def actions(family: Family, now: Object | None, before: Object, context: Context) -> Iterator[Action]:
    """What leads from the object as it stands (None: just created) to what is said about it in `before`."""
    owner = before.get("owner")
    if family.ownable and owner is not None and owner != (now["owner"] if now else context.user):
        sql = f"ALTER {family.word_of(before)} {family.name(before.ref)} OWNER TO {quoted(owner)}"
        yield _late(before.ref, OWNER, sql)
    if now is not None and before.get("grants") != now.get("grants"):
        texts = _grant_changes(family, now, before, context)
        if texts:
            yield _late(before.ref, GRANTS, *texts)
    comment = before.get("comment")
    if comment != (now.get("comment") if now else None):
        text = "NULL" if comment is None else literal(comment).strip()
        yield _late(before.ref, COMMENT, f"COMMENT ON {family.on_comment(before)} IS {text}")
    yield from _labels(family, now, before)


def _late(ref: Ref, priority: int, *texts: str) -> Action:
    return Action("alter", ref, statements(*texts), after={ref}, priority=priority)


def _labels(family: Family, now: Object | None, before: Object) -> Iterator[Action]:
    wanted = dict(before.get("security_labels") or [])
    had = dict(now.get("security_labels") or []) if now else {}
    for provider in sorted(wanted.keys() | had.keys()):
        if wanted.get(provider) != had.get(provider):
            text = literal(wanted[provider]) if provider in wanted else "NULL"
            on = family.on_comment(before)
            yield _late(before.ref, LABELS, f"SECURITY LABEL FOR {quoted(provider)} ON {on} IS {text}")


def _grant_changes(family: Family, now: Object, before: Object, context: Context) -> list[str]:
    ref = before.ref
    if ref.kind in ("column", "view column"):
        return _changes(
            grants(now["grants"]), grants(before["grants"]), f"TABLE {relation(ref)}", quoted(ref.name)
        )
    name = f"{GRANT_WORDS.get(ref.kind, family.word_of(before))} {family.name(ref)}"
    if now.get("owner") != before.get("owner"):
        return []  # the owner's own grants follow the owner; the next pass sees what is left
    if ref.kind == "view column" or ref.kind == "table":
        name = f"TABLE {dotted(ref.path)}"
    return _changes(grants(now["grants"]), grants(before["grants"]), name, None, reset=context.attempt > 2)


def _changes(
    had: list[Grant], wanted: list[Grant], on: str, column: str | None, *, reset: bool = False
) -> list[str]:
    """REVOKE and GRANT; with `reset` everything is given anew, so that also the order is the same."""
    if reset:
        made = [f"REVOKE ALL ON {on} FROM {role}" for role in _roles(had)]
        return made + [_statement("GRANT", grant, on, column) for grant in _bundled(wanted)]
    made = []
    for grant in had:
        if grant not in wanted:
            only_option = grant._replace(grantable=False) in wanted
            verb = "REVOKE GRANT OPTION FOR" if only_option else "REVOKE"
            made.append(_statement(verb, (grant.role, [grant.privilege], False), on, column))
    news = [grant for grant in wanted if grant not in had and grant._replace(grantable=True) not in had]
    return made + [_statement("GRANT", grant, on, column) for grant in _bundled(news)]


def _roles(items: list[Grant]) -> list[str]:
    return list(dict.fromkeys(grant.role for grant in items))


def _bundled(items: list[Grant]) -> list[tuple[str, list[str], bool]]:
    found: dict[tuple[str, bool], list[str]] = {}
    for grant in items:
        found.setdefault((grant.role, grant.grantable), []).append(grant.privilege)
    return [(role, privileges, grantable) for (role, grantable), privileges in found.items()]


def _statement(verb: str, grant: tuple[str, list[str], bool], on: str, column: str | None) -> str:
    role, privileges, grantable = grant
    listed = comma(f"{privilege} ({column})" if column else privilege for privilege in privileges)
    word = "TO" if verb == "GRANT" else "FROM"
    return f"{verb} {listed} ON {on} {word} {role}{' WITH GRANT OPTION' if grantable else ''}"


class DefaultPrivileges(Family):
    """What objects that a role makes in future grant by themselves."""

    kind, word, ownable = "default privileges", "", False

    def create(self, thing: Object, context: Context) -> list[Action]:
        """From the built-in default to what was."""
        return [self.creating(thing, *self._statements(thing, thing["base"], thing["acl"]))]

    def drop(self, thing: Object, context: Context) -> list[Action]:
        """Back to the built-in default."""
        return [self.dropping(thing, *self._statements(thing, thing["acl"], thing["base"]))]

    def alter(self, now: Object, before: Object, changes: Changes, context: Context) -> list[Action] | None:
        """In place."""
        return [self.altering(now, *self._statements(before, now["acl"], before["acl"]))]

    def _statements(self, thing: Object, had: list[str], wanted: list[str]) -> list[str]:
        role, schema, form = thing.ref.path
        head = f"ALTER DEFAULT PRIVILEGES FOR ROLE {quoted(role)}"
        if schema:
            head += f" IN SCHEMA {quoted(schema)}"
        return [f"{head} {text}" for text in _changes(grants(had), grants(wanted), DEFAULT_WORDS[form], None)]
