"""Proofs are bound to the files that were replayed; work of which people wait says that it goes on."""

from django.db import migrations, models

# Of proofs from before nobody knows what was replayed: they stay as they are, and count for nothing any more.
BOUND = """
    ALTER TABLE approvals_proof ADD CONSTRAINT proof_holds_for_a_chain
        CHECK (NOT holds OR chain_sha256 <> '') NOT VALID;
"""


class Migration(migrations.Migration):
    dependencies = [("approvals", "0017_guards")]

    operations = [
        migrations.AddField(
            "proof", "chain_sha256", models.CharField(blank=True, max_length=64, default=""), False
        ),
        migrations.AddField("proof", "placeholders", models.JSONField(default=list)),
        migrations.AddField("job", "heartbeat_at", models.DateTimeField(null=True)),
        migrations.AddIndex(
            "proof",
            models.Index(fields=["script", "revision", "chain_sha256", "-at"], name="proof_by_what_it_binds"),
        ),
        migrations.RunSQL(BOUND, "ALTER TABLE approvals_proof DROP CONSTRAINT proof_holds_for_a_chain;"),
    ]
