"""Runs over fleets that the clock starts: each target in its own window, and what misses it is on record."""

import datetime

import django.db.models.deletion
from django.db import migrations, models

KEEPS_ITS_SCHEDULE = """
CREATE FUNCTION waqiti_run_schedule() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.schedule_id IS DISTINCT FROM OLD.schedule_id THEN
        RAISE EXCEPTION 'what a run is for does not change'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'run_keeps_its_purpose';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER run_schedule BEFORE UPDATE ON approvals_fleetrun
    FOR EACH ROW EXECUTE FUNCTION waqiti_run_schedule();
ALTER TABLE approvals_fleetrun ENABLE ALWAYS TRIGGER run_schedule;
"""


class Migration(migrations.Migration):
    dependencies = [("approvals", "0020_break_glass")]

    operations = [
        migrations.AddField("execution", "missed", models.BooleanField(default=False)),
        migrations.AddField("schedule", "wave_size", models.PositiveSmallIntegerField(null=True)),
        migrations.AddField("schedule", "stop_after", models.PositiveSmallIntegerField(null=True)),
        migrations.AddConstraint(
            "schedule",
            models.CheckConstraint(
                condition=models.Q(("stop_after", None), ("wave_size", None))
                | models.Q(("stop_after__gte", 1), ("wave_size__gte", 1)),
                name="schedule_of_a_run_says_how",
            ),
        ),
        migrations.AddField(
            "fleetrun",
            "schedule",
            models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="run",
                to="approvals.schedule",
            ),
        ),
        migrations.RemoveConstraint("fleetrun", "run_confirmed_within_five_minutes"),
        migrations.AddConstraint(
            "fleetrun",
            models.CheckConstraint(
                condition=models.Q(("started_at__gte", models.F("confirmed_at")))
                & models.Q(
                    ("started_at__lte", models.F("confirmed_at") + datetime.timedelta(minutes=5)),
                    ("schedule__isnull", False),
                    _connector="OR",
                ),
                name="run_confirmed_within_five_minutes",
            ),
        ),
        migrations.RunSQL(KEEPS_ITS_SCHEDULE, "DROP FUNCTION waqiti_run_schedule() CASCADE"),
    ]
