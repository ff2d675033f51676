"""What a person chose for reading: zone, keys."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("approvals", "0004_follow_up")]

    operations = []
