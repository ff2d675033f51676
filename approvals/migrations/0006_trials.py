"""Checks tried before a rollback is asked for, and forms that a lapsed session left."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("approvals", "0005_readers")]

    operations = []
