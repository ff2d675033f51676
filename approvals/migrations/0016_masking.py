"""Rules by which rehearsal clones are masked, the clones that are kept, and what a policy lets into them."""

import uuid
from pathlib import Path

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

MASKING = Path(__file__).parent / "sql" / "masking.sql"


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0015_points"),
    ]

    operations = [
        migrations.AddField(
            model_name="backup",
            name="database_oid",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="backup",
            name="system_identifier",
            field=models.CharField(blank=True, max_length=40),
        ),
        migrations.AddField(
            model_name="policyrule",
            name="rehearsal_with_rows",
            field=models.BooleanField(default=True),
        ),
        migrations.CreateModel(
            name="MaskingRule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "columns",
                    models.CharField(help_text="schema.table.column, with * and ? for any.", max_length=200),
                ),
                (
                    "method",
                    models.CharField(
                        choices=[
                            ("email", "e-mail address that reaches nobody"),
                            ("card", "card number of no bank, its check digit right"),
                            ("phone", "other digits behind the first one"),
                            ("iban", "account number of the same country, its check digits right"),
                            ("scramble", "other letters and digits in the same places"),
                            ("erase", "nothing: NULL, or empty"),
                            ("keep", "left as it is"),
                        ],
                        max_length=10,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=300)),
                ("proposed_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("confirmed_at", models.DateTimeField(null=True)),
                ("removal_at", models.DateTimeField(null=True)),
                ("removed_at", models.DateTimeField(null=True)),
                (
                    "confirmed_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
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
                    "removal_by",
                    models.ForeignKey(
                        null=True,
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
                    "service",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="masking_rules",
                        to="approvals.service",
                    ),
                ),
            ],
            options={
                "ordering": ("service", "columns", "id"),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("removed_at", None)),
                        fields=("service", "columns"),
                        name="one_masking_rule_per_columns",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("method", "keep"), ("reason", ""), _negated=True),
                        name="masking_kept_with_a_reason",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("confirmed_at", None), ("confirmed_by", None)),
                            models.Q(
                                ("confirmed_at__isnull", False),
                                ("confirmed_by__isnull", False),
                                models.Q(("confirmed_by", models.F("proposed_by")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="masking_rule_confirmed_by_another",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("removed_at", None), ("removed_by", None)),
                            models.Q(
                                ("method", "keep"),
                                ("removed_at__isnull", False),
                                ("removed_by__isnull", False),
                            ),
                            models.Q(
                                ("removal_by__isnull", False),
                                ("removed_at__isnull", False),
                                ("removed_by__isnull", False),
                                models.Q(("removed_by", models.F("removal_by")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="masking_rule_removed_by_two",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RehearsalClone",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("masking", models.CharField(help_text="SHA-256 of the rules.", max_length=64)),
                ("server_version", models.IntegerField()),
                ("server_identifier", models.CharField(max_length=40)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("making", "being made"),
                            ("ready", "ready"),
                            ("failed", "failed"),
                            ("dropped", "dropped"),
                        ],
                        default="making",
                        max_length=10,
                    ),
                ),
                ("worker", models.CharField(blank=True, max_length=120)),
                ("bytes", models.BigIntegerField(default=0)),
                ("history", models.JSONField(default=list)),
                ("filled", models.JSONField(default=dict)),
                ("seconds", models.FloatField(null=True)),
                ("sentence", models.TextField(blank=True)),
                ("uses", models.PositiveIntegerField(default=0)),
                ("made_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("used_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("dropped_at", models.DateTimeField(null=True)),
                (
                    "backup",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="clones",
                        to="approvals.backup",
                    ),
                ),
                (
                    "server",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="clones_for_others",
                        to="approvals.target",
                    ),
                ),
                (
                    "target",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="clones",
                        to="approvals.target",
                    ),
                ),
            ],
            options={
                "ordering": ("-made_at",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("dropped_at", None)),
                        fields=["used_at"],
                        name="rehearsal_clone_kept",
                    ),
                    models.Index(fields=["target", "-made_at"], name="rehearsal_clone_latest"),
                ],
            },
        ),
        migrations.RunSQL(MASKING.read_text(), "DROP FUNCTION waqiti_masking_says_the_same() CASCADE;"),
    ]
