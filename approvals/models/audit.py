"""The audit trail's storage: one chain of canonical bodies, each hashed with the link before it."""

from __future__ import annotations

from django.db import models
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

# How the action of an attempt that was refused ends.
DENIED = ".denied"


def _from_body(key: str) -> models.GeneratedField:
    """A column the database derives from the body, so that a filter can never disagree with what was
    hashed."""
    return models.GeneratedField(
        expression=KeyTextTransform(key, Cast("body", models.JSONField())),
        output_field=models.TextField(),
        db_persist=True,
    )


def family() -> models.Func:
    """What an action is about: the word before its first dot."""
    return models.Func(
        models.F("action"),
        models.Value("."),
        models.Value(1),
        function="split_part",
        output_field=models.TextField(),
    )


class AuditEvent(models.Model):
    """One link. `body` is canonical JSON (RFC 8785); hash = SHA256("waqiti-audit/v1\\0" + prev + body)."""

    seq = models.BigIntegerField(primary_key=True)
    body = models.TextField()
    prev = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32)
    at = _from_body("at")
    action = _from_body("action")
    actor = _from_body("actor")
    target = _from_body("target")
    rollback = _from_body("rollback")
    incident = _from_body("incident")

    class Meta:
        ordering = ("-seq",)
        indexes = [
            models.Index(fields=["action", "-seq"], name="audit_by_action"),
            models.Index(fields=["actor", "-seq"], name="audit_by_actor"),
            models.Index(fields=["target", "-seq"], name="audit_by_target"),
            models.Index(fields=["rollback", "-seq"], name="audit_by_rollback"),
            models.Index(fields=["incident", "-seq"], name="audit_by_incident"),
            models.Index(fields=["at", "seq"], name="audit_by_time_and_seq"),
            models.Index(family(), models.F("seq").desc(), name="audit_by_family"),
            models.Index(fields=["-seq"], condition=models.Q(action__endswith=DENIED), name="audit_refused"),
        ]

    def __str__(self) -> str:
        return f"event {self.seq}"
