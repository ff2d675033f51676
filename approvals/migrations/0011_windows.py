"""Windows and freezes of targets, starts that wait for one, and the preflight as evidence."""

import datetime
from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

CALENDAR = Path(__file__).parent / "sql" / "calendar.sql"


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0010_steps"),
    ]

    operations = [
        migrations.AlterField(
            model_name="evidence",
            name="kind",
            field=models.CharField(
                choices=[
                    ("facts", "facts read from the target"),
                    ("rehearsal", "rehearsal"),
                    ("backup", "backup"),
                    ("preflight", "preflight"),
                ],
                max_length=12,
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="kind",
            field=models.CharField(
                choices=[
                    ("sync", "read the history of a target"),
                    ("facts", "read the facts for a rollback"),
                    ("rehearse", "rehearse a rollback"),
                    ("execute", "execute a rollback"),
                    ("import", "import migrations"),
                    ("try", "try checks on a copy"),
                    ("generate", "generate a way back"),
                    ("prove", "prove a script"),
                    ("preflight", "look whether a rollback could run now"),
                ],
                max_length=12,
            ),
        ),
        migrations.CreateModel(
            name="CalendarEntry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("weekly", "weekly window"),
                            ("dated", "window on a date"),
                            ("freeze", "freeze"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "days",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveSmallIntegerField(), blank=True, default=list, size=None
                    ),
                ),
                ("starts", models.TimeField(blank=True, null=True)),
                ("ends", models.TimeField(blank=True, null=True)),
                ("begins_at", models.DateTimeField(blank=True, null=True)),
                ("ends_at", models.DateTimeField(blank=True, null=True)),
                ("reason", models.CharField(blank=True, max_length=300)),
                ("proposed_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("confirmed_at", models.DateTimeField(null=True)),
                ("removal_at", models.DateTimeField(null=True)),
                ("removal_reason", models.CharField(blank=True, max_length=300)),
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
                    "target",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="calendar",
                        to="approvals.target",
                    ),
                ),
            ],
            options={
                "ordering": ("target", "-id"),
                "indexes": [
                    models.Index(
                        condition=models.Q(("removed_at", None)), fields=["target"], name="calendar_standing"
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("begins_at", None),
                                ("days__len__gt", 0),
                                ("ends__isnull", False),
                                ("ends_at", None),
                                ("kind", "weekly"),
                                ("starts__isnull", False),
                            ),
                            models.Q(
                                ("begins_at__isnull", False),
                                ("days__len", 0),
                                ("ends", None),
                                ("ends_at__gt", models.F("begins_at")),
                                ("kind__in", ["dated", "freeze"]),
                                ("starts", None),
                            ),
                            _connector="OR",
                        ),
                        name="calendar_entry_is_whole",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind", "freeze"), ("reason", ""), _negated=True),
                        name="freeze_has_a_reason",
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
                        name="calendar_entry_confirmed_by_another",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("removed_at", None), ("removed_by", None)),
                            models.Q(
                                ("confirmed_at", None),
                                ("removed_at__isnull", False),
                                ("removed_by__isnull", False),
                                models.Q(("kind", "freeze"), _negated=True),
                            ),
                            models.Q(
                                ("removal_by__isnull", False),
                                ("removed_at__isnull", False),
                                ("removed_by__isnull", False),
                                models.Q(("removed_by", models.F("removal_by")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="calendar_entry_removed_by_two",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Schedule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("request_digest", models.CharField(max_length=64)),
                ("at", models.DateTimeField()),
                ("until", models.DateTimeField(help_text="When the window closes that it is for.")),
                ("made_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("confirmed_at", models.DateTimeField(help_text="When the person last proved who they are.")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "waiting"),
                            ("started", "started"),
                            ("cancelled", "cancelled"),
                            ("missed", "missed"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("sentence", models.TextField(blank=True)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "ended_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "execution",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="approvals.execution",
                    ),
                ),
                (
                    "rollback",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="schedules",
                        to="approvals.rollbackrequest",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "waiting")), fields=["at"], name="schedule_waiting"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "waiting")),
                        fields=("rollback",),
                        name="one_schedule_per_rollback",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("at__gt", models.F("made_at")),
                            ("made_at__gte", models.F("confirmed_at")),
                            ("until__gt", models.F("at")),
                            (
                                "made_at__lte",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("confirmed_at"),
                                    "+",
                                    models.Value(datetime.timedelta(seconds=300)),
                                ),
                            ),
                        ),
                        name="schedule_confirmed_and_ahead",
                    ),
                ],
            },
        ),
        migrations.RunSQL(CALENDAR.read_text(), "DROP FUNCTION waqiti_calendar_says_the_same() CASCADE;"),
    ]
