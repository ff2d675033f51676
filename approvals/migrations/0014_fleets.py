"""Runs over many targets: a request's targets in order, runs, and what each execution belongs to."""

import datetime
from pathlib import Path
from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

SQL = Path(__file__).parent / "sql"
KEPT: dict[str, Any] = {"on_delete": django.db.models.deletion.PROTECT}


class Migration(migrations.Migration):
    dependencies = [("approvals", "0013_counting")]

    operations = [
        migrations.AlterModelOptions("rollbacktarget", {"ordering": ("rollback", "position")}),
        migrations.AddField("rollbacktarget", "position", models.PositiveSmallIntegerField(default=1)),
        migrations.AddConstraint(
            "rollbacktarget",
            models.UniqueConstraint(
                deferrable=models.Deferrable.DEFERRED,
                fields=("rollback", "position"),
                name="one_target_per_position",
            ),
        ),
        migrations.AlterField(
            "rollbackrequest",
            "status",
            models.CharField(
                choices=[
                    ("draft", "Draft"),
                    ("in_review", "In review"),
                    ("approved", "Approved"),
                    ("executing", "Executing"),
                    ("executed", "Executed"),
                    ("partly_executed", "Partly executed"),
                    ("changes_requested", "Changes requested"),
                    ("rejected", "Rejected"),
                    ("cancelled", "Cancelled"),
                    ("expired", "Expired"),
                    ("failed", "Failed"),
                ],
                default="draft",
                max_length=20,
            ),
        ),
        migrations.AddField(
            "evidence",
            "target",
            models.ForeignKey(null=True, related_name="+", to="approvals.target", **KEPT),
        ),
        migrations.CreateModel(
            name="FleetRun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("request_digest", models.CharField(max_length=64)),
                ("wave_size", models.PositiveSmallIntegerField()),
                ("stop_after", models.PositiveSmallIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "Running"),
                            ("held", "Held"),
                            ("stopped", "Stopped"),
                            ("cancelled", "Cancelled"),
                            ("finished", "Finished"),
                        ],
                        default="running",
                        max_length=10,
                    ),
                ),
                ("wave", models.PositiveSmallIntegerField(default=0)),
                ("accepted", models.PositiveSmallIntegerField(default=0)),
                (
                    "sentence",
                    models.TextField(blank=True, help_text="Why it does not run, in plain words."),
                ),
                ("started_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("confirmed_at", models.DateTimeField()),
                ("changed_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "rollback",
                    models.ForeignKey(related_name="runs", to="approvals.rollbackrequest", **KEPT),
                ),
                (
                    "started_by",
                    models.ForeignKey(related_name="+", to=settings.AUTH_USER_MODEL, **KEPT),
                ),
            ],
            options={
                "ordering": ("-id",),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)),
                        fields=("rollback",),
                        name="one_open_run_per_rollback",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("stop_after__gte", 1), ("wave_size__gte", 1)),
                        name="run_has_wave_and_limit",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("ended_at", None), ("state__in", ("cancelled", "finished")), _connector="OR"
                        ),
                        name="run_ends_cancelled_or_finished",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("started_at__gte", models.F("confirmed_at")),
                            ("started_at__lte", models.F("confirmed_at") + datetime.timedelta(minutes=5)),
                        ),
                        name="run_confirmed_within_five_minutes",
                    ),
                ],
            },
        ),
        migrations.AddField("execution", "set_aside", models.BooleanField(default=False)),
        migrations.AddField("execution", "wave", models.PositiveSmallIntegerField(null=True)),
        migrations.AddField(
            "execution",
            "run",
            models.ForeignKey(null=True, related_name="executions", to="approvals.fleetrun", **KEPT),
        ),
        migrations.RunSQL((SQL / "fleets.sql").read_text(), (SQL / "fleets_reverse.sql").read_text()),
    ]
