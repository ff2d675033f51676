-- What a worker found is found once: a proof and a generation take one answer, and no change after it.
-- What they are about never changes at all.

CREATE FUNCTION waqiti_answered_once() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fixed text;
    old_row jsonb;
    new_row jsonb;
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION '% is kept: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF OLD.at IS NOT NULL THEN
        RAISE EXCEPTION 'this row of % was answered and never changes again', TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    old_row := to_jsonb(OLD);
    new_row := to_jsonb(NEW);
    FOREACH fixed IN ARRAY TG_ARGV LOOP
        IF old_row -> fixed IS DISTINCT FROM new_row -> fixed THEN
            RAISE EXCEPTION '% of a row of % never changes', fixed, TG_TABLE_NAME
                USING ERRCODE = 'insufficient_privilege';
        END IF;
    END LOOP;
    RETURN NEW;
END $$;

CREATE TRIGGER answered_once BEFORE UPDATE OR DELETE ON approvals_proof
    FOR EACH ROW EXECUTE FUNCTION waqiti_answered_once('id', 'script_id', 'revision_id', 'target_id', 'job_id');
CREATE TRIGGER answered_once BEFORE UPDATE OR DELETE ON approvals_generation
    FOR EACH ROW EXECUTE FUNCTION waqiti_answered_once(
        'id', 'migration_id', 'revision_id', 'target_id', 'job_id', 'options');
CREATE TRIGGER answered_once_table BEFORE TRUNCATE ON approvals_proof
    FOR EACH STATEMENT EXECUTE FUNCTION waqiti_append_only();
CREATE TRIGGER answered_once_table BEFORE TRUNCATE ON approvals_generation
    FOR EACH STATEMENT EXECUTE FUNCTION waqiti_append_only();

-- Where the worker is, for open pages; how it ended its job tells.
CREATE FUNCTION waqiti_tell_doing() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('waqiti_changes', 'job:' || TG_ARGV[0] || ':' || NEW.id);
    RETURN NULL;
END $$;

CREATE TRIGGER tell_doing AFTER UPDATE OF doing ON approvals_proof
    FOR EACH ROW EXECUTE FUNCTION waqiti_tell_doing('prove');
CREATE TRIGGER tell_doing AFTER UPDATE OF doing ON approvals_generation
    FOR EACH ROW EXECUTE FUNCTION waqiti_tell_doing('generate');

ALTER TABLE approvals_proof ENABLE ALWAYS TRIGGER answered_once;
ALTER TABLE approvals_proof ENABLE ALWAYS TRIGGER answered_once_table;
ALTER TABLE approvals_proof ENABLE ALWAYS TRIGGER tell_doing;
ALTER TABLE approvals_generation ENABLE ALWAYS TRIGGER answered_once;
ALTER TABLE approvals_generation ENABLE ALWAYS TRIGGER answered_once_table;
ALTER TABLE approvals_generation ENABLE ALWAYS TRIGGER tell_doing;

-- A rollback's gates rest on the proofs of its scripts.
CREATE FUNCTION waqiti_tell_proven() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM pg_notify('waqiti_changes', 'rollback:RB-' || item.rollback_id)
       FROM (SELECT DISTINCT rollback_id FROM approvals_rollbackitem WHERE script_id = NEW.script_id) item;
    RETURN NULL;
END $$;

CREATE TRIGGER tell_proven AFTER INSERT OR UPDATE OF at ON approvals_proof
    FOR EACH ROW EXECUTE FUNCTION waqiti_tell_proven();
ALTER TABLE approvals_proof ENABLE ALWAYS TRIGGER tell_proven;
