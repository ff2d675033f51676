"""How the history is treated after a rollback; where imported files came from, and who wrote them."""

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def commit_of(model: str) -> list[Any]:
    """What a git repository says of a file: the same three fields on migrations and their revisions."""
    return [
        migrations.AddField(model, "commit", models.CharField(blank=True, max_length=64)),
        migrations.AddField(model, "author", models.CharField(blank=True, max_length=200)),
        migrations.AddField(model, "committed_at", models.DateTimeField(blank=True, null=True)),
    ]


class Migration(migrations.Migration):
    dependencies = [("approvals", "0007_watching")]

    operations = [
        migrations.AlterField(
            "rollbackrequest",
            "file_fate",
            models.CharField(
                blank=True,
                choices=[
                    ("", "not decided"),
                    ("removed", "removed from the release"),
                    ("replaced", "replaced by a corrected file of the same version"),
                    ("superseded", "removed; a file of a higher version takes its place"),
                ],
                default="",
                max_length=12,
            ),
        ),
        migrations.AlterField(
            "rollbackrequest",
            "history_treatment",
            models.CharField(
                choices=[
                    ("delete", "deleted, as if the migration had never run"),
                    ("mark", "kept, and marked as deleted by a DELETE row, as Flyway's repair does"),
                ],
                default="delete",
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            "rollbackrequest",
            models.CheckConstraint(
                condition=models.Q(("history_treatment__in", ["delete", "mark"])),
                name="history_treatment_is_known",
            ),
        ),
        migrations.AlterField(
            "job",
            "kind",
            models.CharField(
                choices=[
                    ("sync", "read the history of a target"),
                    ("facts", "read the facts for a rollback"),
                    ("rehearse", "rehearse a rollback"),
                    ("execute", "execute a rollback"),
                    ("import", "import migrations"),
                    ("try", "try checks on a copy"),
                ],
                max_length=12,
            ),
        ),
        migrations.AddField(
            "importrun",
            "source",
            models.CharField(
                blank=True,
                help_text="Where the files came from: an archive's name or a URL.",
                max_length=500,
            ),
        ),
        migrations.AddField(
            "importrun",
            "commit",
            models.CharField(blank=True, help_text="The commit that was read, in full.", max_length=64),
        ),
        migrations.AddField(
            "importrun",
            "settings",
            models.JSONField(default=dict, help_text="What flyway.toml or flyway.conf beside the files say."),
        ),
        *commit_of("migration"),
        *commit_of("migrationrevision"),
        migrations.CreateModel(
            name="ImportRequest",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField(auto_now_add=True)),
                (
                    "archive",
                    models.BinaryField(help_text="A .zip; taken away once it was read.", null=True),
                ),
                ("source", models.CharField(help_text="The archive's name, or the URL.", max_length=500)),
                ("revision", models.CharField(blank=True, max_length=200)),
                ("folder", models.CharField(blank=True, max_length=500)),
                (
                    "by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "run",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="request",
                        to="approvals.importrun",
                    ),
                ),
                (
                    "service",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="import_requests",
                        to="approvals.service",
                    ),
                ),
            ],
            options={"ordering": ("-id",)},
        ),
    ]
