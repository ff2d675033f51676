"""Ways back that a worker generates and proves; what a script leaves on purpose."""

import uuid
from pathlib import Path

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

HERE = Path(__file__).parent


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0008_history_treatment"),
    ]

    operations = [
        migrations.AddField(
            model_name="rollbackscript",
            name="left",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="rollbackscript",
            name="options",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="rollbackscript",
            name="unproven",
            field=models.TextField(blank=True),
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
                ],
                max_length=12,
            ),
        ),
        migrations.CreateModel(
            name="Generation",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("doing", models.CharField(blank=True, max_length=300)),
                ("doing_since", models.DateTimeField(default=django.utils.timezone.now)),
                ("at", models.DateTimeField(null=True)),
                ("options", models.JSONField(default=dict)),
                ("answer", models.JSONField(default=dict)),
                (
                    "job",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="generation",
                        to="approvals.job",
                    ),
                ),
                (
                    "migration",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="generations",
                        to="approvals.migration",
                    ),
                ),
                (
                    "revision",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="approvals.migrationrevision",
                    ),
                ),
                (
                    "script",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="generations",
                        to="approvals.rollbackscript",
                    ),
                ),
                (
                    "target",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="approvals.target",
                    ),
                ),
            ],
            options={
                "ordering": ("-job_id",),
                "indexes": [models.Index(fields=["migration", "-job"], name="generation_latest")],
            },
        ),
        migrations.CreateModel(
            name="Proof",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("doing", models.CharField(blank=True, max_length=300)),
                ("doing_since", models.DateTimeField(default=django.utils.timezone.now)),
                ("at", models.DateTimeField(null=True)),
                ("completeness", models.JSONField(default=dict)),
                ("proof", models.JSONField(default=dict)),
                (
                    "verdict",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("exact", "exact"),
                            ("exact modulo column order", "exact modulo column order"),
                            ("exact as declared", "exact as declared"),
                            ("differs", "differs"),
                            ("error", "error"),
                            ("not provable", "not provable"),
                        ],
                        max_length=30,
                    ),
                ),
                (
                    "way",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("up-down-up", "forward, back and forward again"),
                            ("down-up", "back and forward again, on a copy of the live schema"),
                        ],
                        max_length=12,
                    ),
                ),
                ("holds", models.BooleanField(default=False)),
                ("server_version", models.CharField(blank=True, max_length=80)),
                (
                    "job",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="proof", to="approvals.job"
                    ),
                ),
                (
                    "revision",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="approvals.migrationrevision",
                    ),
                ),
                (
                    "script",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="proofs",
                        to="approvals.rollbackscript",
                    ),
                ),
                (
                    "target",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="approvals.target",
                    ),
                ),
            ],
            options={
                "ordering": ("-job_id",),
                "indexes": [models.Index(fields=["script", "-job"], name="proof_latest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("holds", False),
                            models.Q(
                                ("at__isnull", False),
                                ("verdict__in", ["exact", "exact modulo column order", "exact as declared"]),
                            ),
                            _connector="OR",
                        ),
                        name="proof_holds_by_its_verdict",
                    )
                ],
            },
        ),
        migrations.RunSQL(
            (HERE / "sql" / "proofs.sql").read_text(),
            "DROP FUNCTION waqiti_answered_once CASCADE; DROP FUNCTION waqiti_tell_doing CASCADE;"
            "DROP FUNCTION waqiti_tell_proven CASCADE;",
        ),
    ]
