"""What a step sends is fixed, who confirmed an entry of a calendar is, and settling by hand is signed for."""

from pathlib import Path

from django.db import migrations, models

COURSES = [("go_on", "go on"), ("take_back", "take back"), ("by_hand", "settle by hand")]
SQL = (Path(__file__).parent / "sql" / "guards.sql").read_text()


class Migration(migrations.Migration):
    dependencies = [("approvals", "0016_masking")]

    operations = [
        migrations.AlterField(
            model_name="continuation",
            name="course",
            field=models.CharField(choices=COURSES, max_length=10),
        ),
        migrations.AlterField(
            model_name="execution",
            name="course",
            field=models.CharField(blank=True, choices=COURSES, max_length=10),
        ),
        migrations.RunSQL(SQL, migrations.RunSQL.noop),
    ]
