"""What a backup is worth, physical backups with tested restores, restore points, and what a policy asks."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0014_fleets"),
    ]

    operations = [
        migrations.AddField(
            model_name="backup",
            name="gapless",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="backup",
            name="grade",
            field=models.PositiveSmallIntegerField(
                choices=[
                    (0, "no backup"),
                    (1, "dump only, not restored"),
                    (2, "touched tables, verified"),
                    (3, "point in time"),
                    (4, "full dump, verified"),
                ],
                default=4,
            ),
        ),
        migrations.AddField(
            model_name="backup",
            name="keys_left_out",
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name="backup",
            name="point",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="policyrule",
            name="backup_gapless",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="policyrule",
            name="backup_scope",
            field=models.CharField(
                choices=[
                    ("database", "the whole database"),
                    ("tables", "the tables that the script touches"),
                ],
                default="database",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="policyrule",
            name="base_backup_max_age_hours",
            field=models.PositiveIntegerField(default=168),
        ),
        migrations.CreateModel(
            name="BaseBackup",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("tested", "restored and compared"),
                            ("failed", "not restorable as it should be"),
                        ],
                        max_length=10,
                    ),
                ),
                ("system_identifier", models.CharField(max_length=40)),
                ("timeline", models.IntegerField(null=True)),
                ("start_lsn", models.CharField(blank=True, max_length=24)),
                ("directory", models.CharField(max_length=500)),
                ("restore_command", models.CharField(max_length=1000)),
                ("inventory", models.CharField(blank=True, max_length=64)),
                ("bytes", models.BigIntegerField(null=True)),
                ("taken_at", models.DateTimeField(null=True)),
                ("tested_at", models.DateTimeField()),
                ("seconds", models.FloatField(null=True)),
                ("point", models.JSONField(default=dict)),
                ("tables", models.JSONField(default=dict)),
                ("sentence", models.TextField()),
                ("by", models.CharField(max_length=120)),
                (
                    "target",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="base_backups",
                        to="approvals.target",
                    ),
                ),
            ],
            options={
                "ordering": ("-tested_at", "-id"),
            },
        ),
        migrations.AddField(
            model_name="backup",
            name="base",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="backups",
                to="approvals.basebackup",
            ),
        ),
        migrations.AddIndex(
            model_name="basebackup",
            index=models.Index(fields=["system_identifier", "-tested_at"], name="base_backup_latest"),
        ),
    ]
