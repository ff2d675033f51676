-- What is written once and never changed: the trail, scripts and their authors, files as imported, evidence, policies.
-- ALWAYS: an ordinary trigger is skipped by whoever may set session_replication_role.

CREATE FUNCTION waqiti_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'approvals_auditevent', 'approvals_evidence', 'approvals_migrationrevision', 'approvals_policyrule',
        'approvals_policyversion', 'approvals_rollbackscript', 'approvals_rollbackscript_authors']
    LOOP
        EXECUTE format('CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON %I
            FOR EACH ROW EXECUTE FUNCTION waqiti_append_only()', name);
        EXECUTE format('CREATE TRIGGER append_only_table BEFORE TRUNCATE ON %I
            FOR EACH STATEMENT EXECUTE FUNCTION waqiti_append_only()', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER append_only_rows', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER append_only_table', name);
    END LOOP;
END $$;
