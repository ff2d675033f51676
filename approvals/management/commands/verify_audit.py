"""`manage.py verify_audit`: recompute every link of the audit trail; names the first bad one and exits 1."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals import audit


class Command(BaseCommand):
    help = "Verify the audit trail from its first event to its last."

    def handle(self, **_options: Any) -> None:
        verdict = audit.verify()
        if not verdict.holds:
            raise CommandError(
                f"The audit trail is broken at event {verdict.bad_seq}: {verdict.problem}. "
                f"{verdict.events} events before it hold."
            )
        self.stdout.write(f"The audit trail holds: {verdict.events} events, head {verdict.head}.")
