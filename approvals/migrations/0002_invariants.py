"""What must hold whatever the code does: triggers that refuse, and the groups and the policy to start with."""

from pathlib import Path

from django.db import migrations

HERE = Path(__file__).parent

ROLES = ["engineer", "senior_dba", "platform_lead", "ops", "auditor", "admin"]

# (environment, risk) -> senior DBAs, platform leads, rehearsal required, its age in hours, backup required
POLICY = {
    ("production", 1): (1, 0, True, None, True),
    ("production", 2): (1, 0, True, None, True),
    ("production", 3): (1, 0, True, None, True),
    ("production", 4): (2, 0, True, 7 * 24, True),
    ("production", 5): (2, 1, True, 24, True),
    ("staging", 1): (0, 0, False, None, False),
    ("staging", 2): (0, 0, False, None, False),
    ("staging", 3): (0, 0, False, None, False),
    ("staging", 4): (1, 0, False, None, False),
    ("staging", 5): (1, 0, False, None, False),
}

# Read in this order; each file says what it holds.
SQL = ("append_only", "audit", "approvals", "rollbacks", "executions")
FUNCTIONS = (
    "waqiti_append_only",
    "waqiti_audit_link",
    "waqiti_approval_insert",
    "waqiti_approval_change",
    "waqiti_rollback_insert",
    "waqiti_rollback_frozen",
    "waqiti_parts_frozen",
    "waqiti_approval_floor",
    "waqiti_approvals_end",
    "waqiti_execution_write",
)


def begin(apps, schema_editor):
    """The roles as groups, and the first policy version."""
    Group = apps.get_model("auth", "Group")
    for name in ROLES:
        Group.objects.get_or_create(name=name)
    PolicyVersion = apps.get_model("approvals", "PolicyVersion")
    PolicyRule = apps.get_model("approvals", "PolicyRule")
    first = PolicyVersion.objects.create(number=1, note="The policy the portal starts with")
    for (environment, risk), (dbas, leads, rehearsal, hours, backup) in POLICY.items():
        PolicyRule.objects.create(
            policy=first,
            environment=environment,
            risk=risk,
            senior_dbas=dbas,
            platform_leads=leads,
            rehearsal_required=rehearsal,
            rehearsal_max_age_hours=hours,
            backup_required=backup,
        )


class Migration(migrations.Migration):
    dependencies = [("approvals", "0001_initial"), ("auth", "0012_alter_user_first_name_max_length")]

    operations = [
        *[
            migrations.RunSQL((HERE / "sql" / f"{name}.sql").read_text(), migrations.RunSQL.noop)
            for name in SQL
        ],
        migrations.RunPython(begin, migrations.RunPython.noop),
        # Taken back before all others: without their functions no triggers are left.
        migrations.RunSQL(
            migrations.RunSQL.noop, "".join(f"DROP FUNCTION {name} CASCADE;" for name in FUNCTIONS)
        ),
    ]
