"""The exception instead of a backup: three signatures, a time limit, and the mark of what has one."""

import datetime
from pathlib import Path

import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

HERE = Path(__file__).parent / "sql"
EXCEPTION = (HERE / "backup_exception.sql").read_text()
# The columns that move, as they were before.
FROZEN = (HERE / "break_glass.sql").read_text().partition("-- Everything but the columns named here")[2]
UNDO = f"""
DROP FUNCTION waqiti_exception_write() CASCADE;
DROP FUNCTION waqiti_exception_signature() CASCADE;
DROP FUNCTION waqiti_exception_signed() CASCADE;
DROP FUNCTION waqiti_excepted_mark() CASCADE;
DROP FUNCTION waqiti_backup_excepted() CASCADE;
DROP FUNCTION waqiti_exception_complete(bigint);
DROP FUNCTION waqiti_exception_present(bigint, text, timestamptz);
DROP FUNCTION waqiti_exception_role(bigint, text[]);
--{FROZEN}"""


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0021_scheduled_runs"),
    ]

    operations = [
        migrations.CreateModel(
            name="ExceptionSignature",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("engineer", "Engineer"),
                            ("senior_dba", "Senior DBA"),
                            ("platform_lead", "Platform lead"),
                            ("ops", "Ops"),
                            ("auditor", "Auditor"),
                            ("admin", "Admin"),
                        ],
                        max_length=20,
                    ),
                ),
                ("signed_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("proved_at", models.DateTimeField(help_text="When they proved who they are.")),
            ],
            options={
                "ordering": ("id",),
            },
        ),
        migrations.AddField(
            model_name="rollbackrequest",
            name="excepted",
            field=models.BooleanField(default=False, editable=False),
        ),
        migrations.CreateModel(
            name="BackupException",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("change_digest", models.CharField(max_length=64)),
                ("reason", models.TextField()),
                ("proposed_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("expires_at", models.DateTimeField(help_text="When it is over, whenever it is signed.")),
                ("granted_at", models.DateTimeField(editable=False, null=True)),
                ("removed_at", models.DateTimeField(null=True)),
                (
                    "evidence",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="approvals.evidence"
                    ),
                ),
                (
                    "proposed_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "removed_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "rollback",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="backup_exceptions",
                        to="approvals.rollbackrequest",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.AddField(
            model_name="backup",
            name="exception",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="backups",
                to="approvals.backupexception",
            ),
        ),
        migrations.AddConstraint(
            model_name="backup",
            constraint=models.CheckConstraint(
                condition=models.Q(("exception", None), ("grade", 0), _connector="OR"),
                name="backup_by_exception_is_of_no_grade",
            ),
        ),
        migrations.AddField(
            model_name="exceptionsignature",
            name="exception",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="signatures",
                to="approvals.backupexception",
            ),
        ),
        migrations.AddField(
            model_name="exceptionsignature",
            name="person",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddIndex(
            model_name="backupexception",
            index=models.Index(fields=["rollback", "-id"], name="exception_of_rollback"),
        ),
        migrations.AddConstraint(
            model_name="backupexception",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True), name="exception_has_a_reason"
            ),
        ),
        migrations.AddConstraint(
            model_name="backupexception",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("expires_at__gt", models.F("proposed_at")),
                    (
                        "expires_at__lte",
                        django.db.models.expressions.CombinedExpression(
                            models.F("proposed_at"), "+", models.Value(datetime.timedelta(days=3))
                        ),
                    ),
                ),
                name="exception_is_over_within_three_days",
            ),
        ),
        migrations.AddConstraint(
            model_name="backupexception",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("removed_at", None), ("removed_by", None)),
                    models.Q(
                        ("granted_at", None), ("removed_at__isnull", False), ("removed_by__isnull", False)
                    ),
                    _connector="OR",
                ),
                name="exception_granted_or_removed",
            ),
        ),
        migrations.AddConstraint(
            model_name="exceptionsignature",
            constraint=models.UniqueConstraint(
                fields=("exception", "person"), name="exception_signed_once_by_each"
            ),
        ),
        migrations.AddConstraint(
            model_name="exceptionsignature",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("signed_at__gte", models.F("proved_at")),
                    (
                        "signed_at__lte",
                        django.db.models.expressions.CombinedExpression(
                            models.F("proved_at"), "+", models.Value(datetime.timedelta(seconds=300))
                        ),
                    ),
                ),
                name="exception_signed_with_fresh_proof",
            ),
        ),
        migrations.RunSQL(EXCEPTION, UNDO),
    ]
