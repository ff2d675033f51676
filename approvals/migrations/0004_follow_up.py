"""Actions that follow an incident, what became of its post-mortem, whom to call, filters of the trail."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("approvals", "0003_conversation")]

    operations = [
        migrations.CreateModel(
            name="Contact",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "duty",
                    models.CharField(
                        choices=[
                            ("primary_dba", "Primary DBA"),
                            ("backup_dba", "Backup DBA"),
                            ("platform_lead", "Platform lead"),
                        ],
                        max_length=20,
                    ),
                ),
                ("name", models.CharField(max_length=120, verbose_name="name")),
                ("email", models.EmailField(max_length=254, verbose_name="email")),
                ("phone", models.CharField(max_length=40, verbose_name="phone")),
            ],
            options={
                "ordering": ("duty", "id"),
            },
        ),
        migrations.CreateModel(
            name="IncidentAction",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("text", models.CharField(max_length=300, verbose_name="what will be done")),
                ("due_on", models.DateField(verbose_name="due on")),
                ("added_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("done_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ("due_on", "id"),
            },
        ),
        migrations.AddField(
            model_name="incident",
            name="change_record",
            field=models.CharField(
                blank=True, max_length=120, verbose_name="entry in the change management system"
            ),
        ),
        migrations.AddField(
            model_name="incident",
            name="corrected_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="corrects",
                to="approvals.migration",
            ),
        ),
        migrations.AddField(
            model_name="postmortem",
            name="earlier",
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AddField(
            model_name="postmortem",
            name="noticed",
            field=models.TextField(blank=True, verbose_name="how it was noticed, and what cost time"),
        ),
        migrations.AddField(
            model_name="postmortem",
            name="reopened_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="postmortem",
            name="reopened_because",
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name="postmortem",
            name="reopened_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="postmortem",
            name="revision",
            field=models.PositiveIntegerField(default=1),
        ),
        migrations.AddField(
            model_name="postmortem",
            name="saved_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="postmortem",
            name="saved_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="postmortem",
            name="went_well",
            field=models.TextField(blank=True, verbose_name="what went well"),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(
                models.Func(
                    models.F("action"),
                    models.Value("."),
                    models.Value(1),
                    function="split_part",
                    output_field=models.TextField(),
                ),
                models.OrderBy(models.F("seq"), descending=True),
                name="audit_by_family",
            ),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(
                condition=models.Q(("action__endswith", ".denied")), fields=["-seq"], name="audit_refused"
            ),
        ),
        migrations.AddField(
            model_name="contact",
            name="service",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="contacts",
                to="approvals.service",
            ),
        ),
        migrations.AddField(
            model_name="contact",
            name="team",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="contacts",
                to="approvals.team",
            ),
        ),
        migrations.AddField(
            model_name="incidentaction",
            name="added_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="incidentaction",
            name="done_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="incidentaction",
            name="incident",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="actions", to="approvals.incident"
            ),
        ),
        migrations.AddField(
            model_name="incidentaction",
            name="owner",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="incident_actions",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="contact",
            constraint=models.UniqueConstraint(
                fields=("duty", "team", "service"), name="one_contact_per_duty", nulls_distinct=False
            ),
        ),
        migrations.AddConstraint(
            model_name="contact",
            constraint=models.CheckConstraint(
                condition=models.Q(("team", None), ("service", None), _connector="OR"),
                name="contact_for_a_team_or_a_service",
            ),
        ),
        migrations.AddIndex(
            model_name="incidentaction",
            index=models.Index(
                condition=models.Q(("done_at", None)), fields=["due_on"], name="incident_action_open"
            ),
        ),
        migrations.AddConstraint(
            model_name="incidentaction",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("done_at", None), ("done_by", None)),
                    models.Q(("done_at__isnull", False), ("done_by__isnull", False)),
                    _connector="OR",
                ),
                name="done_by_somebody_at_some_time",
            ),
        ),
        migrations.RemoveIndex(model_name="auditevent", name="audit_by_time"),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(fields=["at", "seq"], name="audit_by_time_and_seq"),
        ),
    ]
