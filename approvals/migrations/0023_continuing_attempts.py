"""Going on with what is partly done, or taking it back, may be tried again while no try has had an effect."""

from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

SQL = (Path(__file__).parent / "sql" / "continuing_attempts.sql").read_text()


class Migration(migrations.Migration):
    dependencies = [("approvals", "0022_backup_exception")]

    operations = [
        migrations.AlterField(
            "continuation",
            "carried_out",
            models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="approvals.execution",
            ),
        ),
        migrations.AddField(
            "execution",
            "continuation",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="attempts",
                to="approvals.continuation",
            ),
        ),
        migrations.RunSQL(SQL, migrations.RunSQL.noop),
    ]
