"""The threads of a rollback, each where it belongs: under the line it is about, or beside the whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from approvals import comments
from approvals.models import RollbackItem, RollbackRequest, Thread

from .statements import Line

# So many threads stand on the review page; the page of comments has all of them.
SHOWN = 15


@dataclass(frozen=True)
class Talk:
    """The threads on one migration's script: by the number of the statement that holds their line, and those
    on lines of earlier revisions."""

    by_statement: dict[int, list[Thread]] = field(default_factory=dict)
    earlier: list[Thread] = field(default_factory=list)
    # On lines of a script that could not be read as statements.
    loose: list[Thread] = field(default_factory=list)


@dataclass(frozen=True)
class Conversation:
    """What was said about a rollback, as far as its page shows it; how many threads are open, and how many
    there are."""

    threads: list[Thread]
    open: int
    total: int

    @property
    def more(self) -> int:
        """How many threads the page leaves out."""
        return self.total - len(self.threads)

    @property
    def whole(self) -> list[Thread]:
        """The threads on the rollback as a whole."""
        return [thread for thread in self.threads if thread.script is None]

    @property
    def open_elsewhere(self) -> list[Thread]:
        """Open threads on lines of scripts: they stand there, and are listed here."""
        return [thread for thread in self.threads if thread.is_open and thread.script is not None]


def conversation(rollback: RollbackRequest) -> Conversation:
    """The open and newest threads of a rollback; three queries, however much was said."""
    return Conversation(list(comments.threads(rollback)[:SHOWN]), *comments.counts(rollback))


def talk_about(item: RollbackItem, statements: Sequence[Line], threads: Sequence[Thread]) -> Talk:
    """The threads on this item's script, each at the last statement that begins at or before its line."""
    by_statement: dict[int, list[Thread]] = defaultdict(list)
    earlier, loose = [], []
    for thread in sorted(threads, key=lambda thread: thread.pk):
        if thread.script is None or thread.script.migration_id != item.migration_id:
            continue
        if thread.script_id != item.script_id:
            earlier.append(thread)
        elif not statements:
            loose.append(thread)
        else:
            begun = [each for each in statements if each.line <= (thread.line or 1)] or [statements[0]]
            by_statement[begun[-1].number].append(thread)
    return Talk(dict(by_statement), earlier, loose)
