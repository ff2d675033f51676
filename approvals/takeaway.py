"""Approved scripts as files for Flyway: `U…` for its paid editions, or `V…` to take back by going forward."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from django.utils.translation import gettext as _

from . import filling, history, release
from .errors import Refused
from .flyway.names import Grammar
from .flyway.versions import MalformedVersion, Version
from .models import Migration, RollbackItem, RollbackRequest, Status

APPROVED = frozenset({Status.APPROVED, Status.EXECUTING, Status.EXECUTED})
LONGEST_DESCRIPTION = 150


def undo_files(rollback: RollbackRequest) -> dict[str, str]:
    """The approved script of each migration as an undo file, text by name as the project writes names.

    It holds the steps that people approved and nothing else: `flyway undo` begins the transaction and writes
    the history by itself. Where a script holds what Flyway would take for a placeholder, a `.conf` beside it
    says that it is none. Raises Refused unless the rollback is approved, every step may run in a
    transaction, and the script reads the same on all targets of the service.
    """
    files: dict[str, str] = {}
    grammar = release.grammar_of(release.last_import(rollback.service))
    for item in _items(rollback):
        name = _undo_name(item, grammar)
        files |= _with_rules(name, "\n".join([*_head(rollback, item), _body([item])]))
    return files


def forward_file(rollback: RollbackRequest, *, version: str = "") -> dict[str, str]:
    """One versioned migration that takes back everything of the rollback, newest first, text by name.

    For teams that go forward instead: nobody touches the history, and the files stay in the release. The
    version is the next free one of the service unless it is given. Raises Refused as `undo_files` does, and
    for a version that Flyway does not know or that is taken.
    """
    items = _items(rollback)
    known = _known_versions(rollback)
    try:
        number = version or next_version(known)
        if Version.parse(number) in known:
            raise Refused(_("Version %(version)s is taken.") % {"version": number})
    except MalformedVersion as bad:
        raise Refused(f"{bad}.") from None
    what = ", ".join(str(item.migration) for item in items)
    grammar = release.grammar_of(release.last_import(rollback.service))
    described = _described("Take back " + " and ".join(str(item.migration) for item in items))
    name = f"{grammar.versioned}{number}{grammar.separator}{described}{grammar.suffixes[0]}"
    head = [f"-- Takes back {what} by going forward. The history keeps all of them."]
    for item in items:
        head += _head(rollback, item)
    return _with_rules(name, "\n".join([*head, _body(items)]))


def next_version(known: Iterable[Version]) -> str:
    """The version after the highest one, written as that is: 7 after 6, 2025.11.002 after 2025.11.001."""
    top = max(known, default=None)
    if top is None:
        return "1"
    before, last = re.fullmatch(r"(.*?)(\d+)", top.text).groups()  # type: ignore[union-attr]
    return f"{before}{int(last) + 1:0{len(last)}}"


def _items(rollback: RollbackRequest) -> list[RollbackItem]:
    if rollback.status not in APPROVED:
        raise Refused(
            _("%(label)s is not approved: its scripts may still change.") % {"label": rollback.label}
        )
    items = list(rollback.items.select_related("migration", "revision", "script").order_by("position"))
    for item in items:
        if item.script is None or filling.plan_of(item).get("problems"):
            raise Refused(_("%(migration)s has no script that can be read.") % {"migration": item.migration})
        if any(step["kind"] != "transactional" for step in filling.plan_of(item)["steps"]):
            raise Refused(
                _("The script of %(migration)s has steps that refuse a transaction; no one file holds it.")
                % {"migration": item.migration}
            )
    _require_one_text(rollback, items)
    return items


def _require_one_text(rollback: RollbackRequest, items: Iterable[RollbackItem]) -> None:
    """A release goes everywhere: what was approved with one target's values is wrong where others count."""
    targets = list(rollback.service.targets.all())
    for item in items:
        if len({filling.text_for(item, target) for target in targets}) > 1:
            raise Refused(
                _(
                    "The script of %(migration)s reads otherwise with the values of other targets; no one "
                    "file holds it."
                )
                % {"migration": item.migration}
            )


def _undo_name(item: RollbackItem, grammar: Grammar) -> str:
    """The file's own name with the other prefix, so that Flyway pairs the two."""
    name = PurePosixPath(item.revision.path).name
    if name.startswith(grammar.versioned):
        return grammar.undo + name.removeprefix(grammar.versioned)
    described = _described(item.migration.description)
    return f"{grammar.undo}{item.migration.version}{grammar.separator}{described}{grammar.suffixes[0]}"


def _described(text: str) -> str:
    return re.sub(r"[^\w.]+", "_", text).strip("_")[:LONGEST_DESCRIPTION]


def _head(rollback: RollbackRequest, item: RollbackItem) -> list[str]:
    """Where it came from: the bytes that people signed can be compared with what they signed."""
    script = item.script
    assert script is not None  # noqa: S101 (see _items)
    return [
        f"-- Takes back {item.migration}: revision {script.number} of its script (SHA-256 {script.sha256}),",
        f"-- approved with {rollback.label}, change digest {rollback.change_digest}.",
    ]


def _body(items: Sequence[RollbackItem]) -> str:
    """The steps as they were approved, each ended; triggers off where the plan asked for that."""
    parts: list[str] = []
    for item in items:
        assert item.script is not None  # noqa: S101 (see _items)
        steps = [_ended(step["statement"]["sql"]) for step in filling.plan_of(item)["steps"]]
        if filling.plan_of(item).get("replica_role"):
            steps = [
                "SET LOCAL session_replication_role = replica;",
                *steps,
                "SET LOCAL session_replication_role = origin;",
            ]
        parts += ["", *steps]
    return "\n".join(parts) + "\n"


def _ended(statement: str) -> str:
    text = statement.rstrip().removesuffix(";")
    return f"{text}\n;" if "--" in text.rpartition("\n")[2] else f"{text};"  # not into a comment


def _with_rules(name: str, text: str) -> dict[str, str]:
    return {name: text} | ({f"{name}.conf": "placeholderReplacement=false\n"} if "${" in text else {})


def _known_versions(rollback: RollbackRequest) -> list[Version]:
    """Every version of the service's files and of its targets' histories."""
    files = rollback.service.migrations.exclude(kind=Migration.Kind.REPEATABLE).values_list(
        "version", flat=True
    )
    rows = [
        row.version
        for target in rollback.service.targets.all()
        for row in history.rows_of(target)
        if row.version is not None
    ]
    return [Version.parse(text) for text in {*files, *rows}]
