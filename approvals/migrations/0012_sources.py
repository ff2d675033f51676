"""What an import changed and who wrote what it read; tokens of pipelines; placeholders of scripts."""

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

SOMEBODY: dict[str, Any] = {"on_delete": django.db.models.deletion.PROTECT, "related_name": "+"}


class Migration(migrations.Migration):
    dependencies = [("approvals", "0011_windows")]

    operations = [
        migrations.CreateModel(
            name="ImportToken",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=80)),
                ("source", models.CharField(blank=True, max_length=500)),
                ("folder", models.CharField(blank=True, max_length=500)),
                ("digest", models.CharField(help_text="SHA-256 of the token.", max_length=64, unique=True)),
                ("made_at", models.DateTimeField(auto_now_add=True)),
                ("used_at", models.DateTimeField(null=True)),
                ("revoked_at", models.DateTimeField(null=True)),
                ("made_by", models.ForeignKey(to=settings.AUTH_USER_MODEL, **SOMEBODY)),
                ("revoked_by", models.ForeignKey(null=True, to=settings.AUTH_USER_MODEL, **SOMEBODY)),
                (
                    "service",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="import_tokens",
                        to="approvals.service",
                    ),
                ),
            ],
            options={"ordering": ("-id",)},
        ),
        migrations.AlterField("importrun", "commit", models.CharField(blank=True, max_length=64)),
        migrations.AddField("importrun", "author", models.CharField(blank=True, max_length=200)),
        migrations.AddField("importrun", "committed_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("importrun", "differences", models.JSONField(default=dict)),
        migrations.AddField(
            "importrun", "token", models.ForeignKey(null=True, to="approvals.importtoken", **SOMEBODY)
        ),
        migrations.AddField(
            "importrequest",
            "token",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="requests",
                to="approvals.importtoken",
            ),
        ),
        migrations.AddField("rollbackscript", "placeholders", models.JSONField(default=list)),
    ]
