"""What a person chose for reading: zone, keys."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("approvals", "0004_follow_up")]

    operations = [
        migrations.AddField("user", "zone_settled", models.BooleanField(default=False)),
        migrations.AddField(
            "user", "single_keys", models.BooleanField(default=True, verbose_name="single keys")
        ),
    ]
