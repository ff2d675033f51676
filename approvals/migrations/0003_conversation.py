"""Comments on a rollback, and what each reader saw last."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("approvals", "0002_invariants")]

    operations = []
