"""A table for what all web processes count together: failed sign-ins, and how often work is asked for."""

from django.db import migrations

MAKE = """
    CREATE TABLE portal_cache (
        cache_key varchar(255) NOT NULL PRIMARY KEY,
        value text NOT NULL,
        expires timestamptz NOT NULL
    );
    CREATE INDEX portal_cache_expires ON portal_cache (expires);
"""


class Migration(migrations.Migration):
    dependencies = [("approvals", "0012_sources")]

    operations = [migrations.RunSQL(MAKE, reverse_sql="DROP TABLE portal_cache")]
