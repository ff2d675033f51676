"""Answered alarms, what live pages show and what tells them that something changed."""

from pathlib import Path

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

CHANGES = Path(__file__).parent / "sql" / "changes.sql"
FUNCTIONS = ("waqiti_tell_event", "waqiti_tell_execution", "waqiti_tell_job")


class Migration(migrations.Migration):
    dependencies = [("approvals", "0006_trials")]

    operations = [
        migrations.AddField("execution", "waiters", models.JSONField(default=list)),
        migrations.AddField("execution", "marks", models.JSONField(default=dict)),
        migrations.AddField("execution", "limits", models.JSONField(default=dict)),
        migrations.AddField("execution", "pools", models.JSONField(null=True)),
        migrations.AddField("execution", "alarm_answered_at", models.DateTimeField(null=True)),
        migrations.AddField(
            "execution",
            "alarm_answered_by",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField("execution", "alarm_answer", models.TextField(blank=True)),
        migrations.AddIndex(
            "execution",
            models.Index(
                fields=["target"],
                condition=models.Q(reappeared_at__isnull=False, alarm_answered_at=None),
                name="execution_alarm",
            ),
        ),
        migrations.AddField("backup", "progress", models.JSONField(default=dict)),
        migrations.RunSQL(
            CHANGES.read_text(), "".join(f"DROP FUNCTION {name} CASCADE;" for name in FUNCTIONS)
        ),
    ]
