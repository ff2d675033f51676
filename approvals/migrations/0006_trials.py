"""Checks tried on a copy before a rollback is asked for."""

import uuid

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("approvals", "0005_readers")]

    operations = [
        migrations.CreateModel(
            name="Trial",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField()),
                ("position", models.PositiveSmallIntegerField()),
                ("sql", models.TextField()),
                ("checks", models.JSONField(default=list)),
                ("doing", models.CharField(blank=True, max_length=300)),
                ("doing_since", models.DateTimeField(default=django.utils.timezone.now)),
                ("tried_on", models.TextField(blank=True)),
                ("results", models.JSONField(default=list)),
                ("script_error", models.JSONField(null=True)),
                ("notes", models.JSONField(default=list)),
                (
                    "job",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="trial",
                        to="approvals.job",
                    ),
                ),
                (
                    "migration",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="approvals.migration",
                    ),
                ),
                (
                    "rollback",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="trials",
                        to="approvals.rollbackrequest",
                    ),
                ),
            ],
            options={
                "ordering": ("-job_id",),
                "indexes": [models.Index(fields=["rollback", "position", "-job"], name="trial_latest")],
            },
        ),
    ]
