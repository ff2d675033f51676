"""Steps that run alone, what a partly done execution leaves, and how it is gone on with or taken back."""

import datetime
from pathlib import Path

import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

HERE = Path(__file__).parent


class Migration(migrations.Migration):
    dependencies = [("approvals", "0009_proofs")]

    operations = [
        migrations.AddField(
            model_name="execution",
            name="continues",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="continued_by",
                to="approvals.execution",
            ),
        ),
        migrations.AddField(
            model_name="execution",
            name="course",
            field=models.CharField(
                blank=True, choices=[("go_on", "go on"), ("take_back", "take back")], max_length=10
            ),
        ),
        migrations.AddField(
            model_name="execution",
            name="restart",
            field=models.JSONField(null=True),
        ),
        migrations.AddField(
            model_name="execution",
            name="restart_confirmed_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="execution",
            name="restart_confirmed_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="execution",
            name="settled_as",
            field=models.CharField(
                blank=True,
                choices=[
                    ("gone_on", "gone on with"),
                    ("taken_back", "taken back"),
                    ("by_hand", "settled by hand"),
                ],
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="execution",
            name="settled_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="execution",
            name="settled_because",
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name="execution",
            name="settled_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="executionstep",
            name="before",
            field=models.JSONField(null=True),
        ),
        migrations.AddField(
            model_name="executionstep",
            name="claim",
            field=models.UUIDField(null=True, unique=True),
        ),
        migrations.AddField(
            model_name="executionstep",
            name="claimed_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="executionstep",
            name="found",
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name="executionstep",
            name="how",
            field=models.CharField(
                choices=[("transactional", "in the transaction"), ("alone", "alone")],
                default="transactional",
                max_length=14,
            ),
        ),
        migrations.AddField(
            model_name="executionstep",
            name="leftover",
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name="executionstep",
            name="of",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="later",
                to="approvals.executionstep",
            ),
        ),
        migrations.AddField(
            model_name="executionstep",
            name="settled_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="executionstep",
            name="statements",
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name="executionstep",
            name="undo",
            field=models.JSONField(default=list),
        ),
        migrations.AlterField(
            model_name="executionstep",
            name="state",
            field=models.CharField(
                choices=[
                    ("pending", "not begun"),
                    ("running", "running"),
                    ("done", "done"),
                    ("failed", "failed"),
                    ("claimed", "claimed"),
                    ("undone", "taken back"),
                    ("unknown", "not known"),
                ],
                default="pending",
                max_length=10,
            ),
        ),
        migrations.CreateModel(
            name="Continuation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "course",
                    models.CharField(choices=[("go_on", "go on"), ("take_back", "take back")], max_length=10),
                ),
                ("steps", models.JSONField()),
                ("digest", models.CharField(max_length=64)),
                ("reason", models.TextField()),
                ("asked_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("voided_at", models.DateTimeField(null=True)),
                ("void_reason", models.CharField(blank=True, max_length=200)),
                (
                    "asked_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "carried_out",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="continuation",
                        to="approvals.execution",
                    ),
                ),
                (
                    "execution",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="continuations",
                        to="approvals.execution",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="ContinuationApproval",
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
                        choices=[("senior_dba", "Senior DBA"), ("platform_lead", "Platform lead")],
                        max_length=20,
                    ),
                ),
                ("digest", models.CharField(max_length=64)),
                ("comment", models.TextField(blank=True)),
                ("confirmed_at", models.DateTimeField()),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "approver",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "continuation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="approvals",
                        to="approvals.continuation",
                    ),
                ),
            ],
            options={
                "ordering": ("at", "id"),
            },
        ),
        migrations.AddConstraint(
            model_name="continuation",
            constraint=models.UniqueConstraint(
                condition=models.Q(("carried_out", None), ("voided_at", None)),
                fields=("execution",),
                name="one_open_continuation_per_execution",
            ),
        ),
        migrations.AddConstraint(
            model_name="continuationapproval",
            constraint=models.UniqueConstraint(
                fields=("continuation", "approver"), name="one_signature_per_person"
            ),
        ),
        migrations.AddConstraint(
            model_name="continuationapproval",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("at__gte", models.F("confirmed_at")),
                    (
                        "at__lte",
                        django.db.models.expressions.CombinedExpression(
                            models.F("confirmed_at"), "+", models.Value(datetime.timedelta(seconds=300))
                        ),
                    ),
                ),
                name="signed_within_five_minutes",
            ),
        ),
        migrations.RunSQL((HERE / "sql" / "steps.sql").read_text(), migrations.RunSQL.noop),
    ]
