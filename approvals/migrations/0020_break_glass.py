"""Break-glass: two people, two gates at most, a review; and the mark of what was forced."""

import datetime
from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

BREAK_GLASS = (Path(__file__).parent / "sql" / "break_glass.sql").read_text()
UNDO = """
DROP FUNCTION waqiti_break_glass_write() CASCADE;
DROP FUNCTION waqiti_break_glass_role(bigint, text[]);
DROP FUNCTION waqiti_forced_mark() CASCADE;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0019_reading"),
    ]

    operations = [
        migrations.AddField(
            model_name="rollbackrequest",
            name="forced",
            field=models.BooleanField(default=False, editable=False),
        ),
        migrations.CreateModel(
            name="BreakGlass",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("change_digest", models.CharField(max_length=64)),
                (
                    "skips",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[("window", "windows and freezes"), ("rehearsal", "the rehearsal")],
                            max_length=10,
                        ),
                        size=None,
                    ),
                ),
                ("reason", models.TextField()),
                ("proposed_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("expires_at", models.DateTimeField(help_text="When it is over, whenever it is confirmed.")),
                ("confirmed_at", models.DateTimeField(null=True)),
                (
                    "proved_at",
                    models.DateTimeField(help_text="When the second person proved who they are.", null=True),
                ),
                ("removed_at", models.DateTimeField(null=True)),
                ("due_at", models.DateTimeField(help_text="When its review has to be closed.", null=True)),
                ("review", models.TextField(blank=True)),
                ("closed_at", models.DateTimeField(null=True)),
                (
                    "closed_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
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
                        related_name="break_glass",
                        to="approvals.rollbackrequest",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [
                    models.Index(fields=["rollback", "-id"], name="break_glass_of_rollback"),
                    models.Index(
                        condition=models.Q(("closed_at", None), ("removed_at", None)),
                        fields=["due_at"],
                        name="break_glass_open",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("skips__contained_by", ["window", "rehearsal"]), ("skips__len__gt", 0)
                        ),
                        name="break_glass_skips_two_gates_at_most",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True), name="break_glass_has_a_reason"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("expires_at__gt", models.F("proposed_at")),
                            (
                                "expires_at__lte",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("proposed_at"), "+", models.Value(datetime.timedelta(days=1))
                                ),
                            ),
                        ),
                        name="break_glass_is_over_within_a_day",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("confirmed_at", None),
                                ("confirmed_by", None),
                                ("due_at", None),
                                ("proved_at", None),
                            ),
                            models.Q(
                                ("confirmed_at__gte", models.F("proved_at")),
                                ("confirmed_at__isnull", False),
                                ("confirmed_at__lt", models.F("expires_at")),
                                (
                                    "confirmed_at__lte",
                                    django.db.models.expressions.CombinedExpression(
                                        models.F("proved_at"),
                                        "+",
                                        models.Value(datetime.timedelta(seconds=300)),
                                    ),
                                ),
                                ("confirmed_by__isnull", False),
                                ("due_at__gt", models.F("confirmed_at")),
                                ("due_at__isnull", False),
                                ("proved_at__isnull", False),
                                ("removed_by", None),
                                models.Q(("confirmed_by", models.F("proposed_by")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="break_glass_confirmed_by_another",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("removed_at", None), ("removed_by", None)),
                            models.Q(("removed_at__isnull", False), ("removed_by__isnull", False)),
                            _connector="OR",
                        ),
                        name="break_glass_removed_by_somebody",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("closed_at", None), ("closed_by", None), ("review", "")),
                            models.Q(
                                ("closed_at__gte", models.F("confirmed_at")),
                                ("closed_at__isnull", False),
                                ("closed_by__isnull", False),
                                ("confirmed_by__isnull", False),
                                models.Q(("review", ""), _negated=True),
                                models.Q(("closed_by", models.F("proposed_by")), _negated=True),
                                models.Q(("closed_by", models.F("confirmed_by")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="break_glass_reviewed_by_a_third",
                    ),
                ],
            },
        ),
        migrations.RunSQL(BREAK_GLASS, UNDO),
    ]
