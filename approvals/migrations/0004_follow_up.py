"""Actions that follow an incident, and whom to call."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("approvals", "0003_conversation")]

    operations = []
