"""Indexes for what pages ask of long lists: the newest attempts of a rollback, and which scripts set
parameters of the server."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("approvals", "0018_proof_binding")]

    operations = [
        migrations.AddIndex(
            "execution", models.Index(fields=["rollback_target", "-queued_at"], name="execution_newest")
        ),
        migrations.AddIndex(
            "rollbackscript",
            models.Index(
                fields=["migration"],
                condition=models.Q(plan__steps__contains=[{"statement": {"change": "ALTER SYSTEM"}}]),
                name="script_sets_parameters",
            ),
        ),
    ]
