"""Acknowledged alarms, and what live pages need."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("approvals", "0006_trials")]

    operations = []
