"""What must hold whatever the code does: triggers that refuse, and the groups and the policy to start with."""

from django.db import migrations

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

APPEND_ONLY = """
CREATE FUNCTION waqiti_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
"""

# ALWAYS: an ordinary trigger is skipped by whoever may set session_replication_role.
APPEND_ONLY_ON = """
CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION waqiti_append_only();
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION waqiti_append_only();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only_rows;
ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only_table;
"""

APPROVAL = """
CREATE FUNCTION waqiti_approval_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM approvals_rollbackrequest r
               WHERE r.id = NEW.rollback_id AND r.requester_id = NEW.approver_id) THEN
        RAISE EXCEPTION 'approver is the requester' USING ERRCODE = 'check_violation',
            CONSTRAINT = 'approver_is_not_requester';
    END IF;
    IF EXISTS (SELECT 1 FROM approvals_rollbackitem i
               JOIN approvals_rollbackscript_authors a ON a.rollbackscript_id = i.script_id
               WHERE i.rollback_id = NEW.rollback_id AND a.user_id = NEW.approver_id) THEN
        RAISE EXCEPTION 'approver is an author' USING ERRCODE = 'check_violation',
            CONSTRAINT = 'approver_is_not_author';
    END IF;
    IF NOT EXISTS (SELECT 1 FROM approvals_rollbackrequest r
                   WHERE r.id = NEW.rollback_id AND r.request_digest = NEW.request_digest
                     AND r.request_digest <> '') THEN
        RAISE EXCEPTION 'approval of another digest' USING ERRCODE = 'check_violation',
            CONSTRAINT = 'approval_binds_to_present_digest';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_insert BEFORE INSERT ON approvals_approval
    FOR EACH ROW EXECUTE FUNCTION waqiti_approval_insert();
ALTER TABLE approvals_approval ENABLE ALWAYS TRIGGER approval_insert;

CREATE FUNCTION waqiti_approval_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.voided_at IS NULL
       AND to_jsonb(NEW) - 'voided_at' - 'void_reason' = to_jsonb(OLD) - 'voided_at' - 'void_reason' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'an approval can only be voided' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER approval_change BEFORE UPDATE OR DELETE ON approvals_approval
    FOR EACH ROW EXECUTE FUNCTION waqiti_approval_change();
CREATE TRIGGER approval_truncate BEFORE TRUNCATE ON approvals_approval
    FOR EACH STATEMENT EXECUTE FUNCTION waqiti_append_only();
ALTER TABLE approvals_approval ENABLE ALWAYS TRIGGER approval_change;
ALTER TABLE approvals_approval ENABLE ALWAYS TRIGGER approval_truncate;
"""

# A rollback is approved, or begins to execute, only with as many valid signatures of its present digest as the
# floors ask for. Requesters and authors are kept out by the trigger above, voided ones and other digests here.
FLOOR = """
CREATE FUNCTION waqiti_approval_floor() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wanted int; given int;
BEGIN
    IF NEW.status NOT IN ('approved', 'executing') OR NEW.status = OLD.status THEN
        RETURN NEW;
    END IF;
    SELECT CASE WHEN NOT bool_or(t.environment = 'production') THEN 0
                WHEN coalesce(NEW.risk, 5) >= 4 THEN 2 ELSE 1 END
      INTO wanted
      FROM approvals_rollbacktarget rt JOIN approvals_target t ON t.id = rt.target_id
     WHERE rt.rollback_id = NEW.id;
    SELECT count(DISTINCT a.approver_id) INTO given
      FROM approvals_approval a
     WHERE a.rollback_id = NEW.id AND a.decision = 'approve' AND a.voided_at IS NULL
       AND a.request_digest = NEW.request_digest;
    IF given < coalesce(wanted, 2) THEN
        RAISE EXCEPTION 'approved by % of at least %', given, coalesce(wanted, 2)
            USING ERRCODE = 'check_violation', CONSTRAINT = 'approval_floor';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_floor BEFORE UPDATE OF status ON approvals_rollbackrequest
    FOR EACH ROW EXECUTE FUNCTION waqiti_approval_floor();
ALTER TABLE approvals_rollbackrequest ENABLE ALWAYS TRIGGER approval_floor;

CREATE FUNCTION waqiti_rollback_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> 'draft' THEN
        RAISE EXCEPTION 'a rollback begins as a draft' USING ERRCODE = 'check_violation',
            CONSTRAINT = 'rollback_begins_as_draft';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rollback_insert BEFORE INSERT ON approvals_rollbackrequest
    FOR EACH ROW EXECUTE FUNCTION waqiti_rollback_insert();
ALTER TABLE approvals_rollbackrequest ENABLE ALWAYS TRIGGER rollback_insert;

CREATE FUNCTION waqiti_execution_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.purpose = 'real' AND NOT EXISTS (
        SELECT 1 FROM approvals_rollbacktarget rt JOIN approvals_rollbackrequest r ON r.id = rt.rollback_id
         WHERE rt.id = NEW.rollback_target_id AND rt.target_id = NEW.target_id
           AND r.status = 'executing' AND r.request_digest = NEW.request_digest) THEN
        RAISE EXCEPTION 'no approved rollback carries this execution' USING ERRCODE = 'check_violation',
            CONSTRAINT = 'execution_of_approved_digest';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER execution_insert BEFORE INSERT ON approvals_execution
    FOR EACH ROW EXECUTE FUNCTION waqiti_execution_insert();
ALTER TABLE approvals_execution ENABLE ALWAYS TRIGGER execution_insert;
"""


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
        migrations.RunSQL(APPEND_ONLY, "DROP FUNCTION waqiti_append_only CASCADE"),
        *[
            migrations.RunSQL(APPEND_ONLY_ON.format(table=table), migrations.RunSQL.noop)
            for table in (
                "approvals_auditevent",
                "approvals_rollbackscript",
                "approvals_rollbackscript_authors",
                "approvals_migrationrevision",
            )
        ],
        migrations.RunSQL(
            APPROVAL,
            "DROP FUNCTION waqiti_approval_insert CASCADE; DROP FUNCTION waqiti_approval_change CASCADE",
        ),
        migrations.RunSQL(
            FLOOR,
            "DROP FUNCTION waqiti_approval_floor CASCADE; DROP FUNCTION waqiti_rollback_insert CASCADE;"
            " DROP FUNCTION waqiti_execution_insert CASCADE",
        ),
        migrations.RunPython(begin, migrations.RunPython.noop),
    ]
