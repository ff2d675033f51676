-- What was said stays as it was said; of a thread only whether it is resolved may change.

CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON approvals_comment
    FOR EACH ROW EXECUTE FUNCTION waqiti_append_only();
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON approvals_comment
    FOR EACH STATEMENT EXECUTE FUNCTION waqiti_append_only();
ALTER TABLE approvals_comment ENABLE ALWAYS TRIGGER append_only_rows;
ALTER TABLE approvals_comment ENABLE ALWAYS TRIGGER append_only_table;

CREATE FUNCTION waqiti_thread_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.rollback_id, NEW.script_id, NEW.line, NEW.opened_at)
       IS DISTINCT FROM (OLD.id, OLD.rollback_id, OLD.script_id, OLD.line, OLD.opened_at) THEN
        RAISE EXCEPTION 'what a thread is about does not change'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'thread_keeps_its_place';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER thread_kept BEFORE UPDATE ON approvals_thread
    FOR EACH ROW EXECUTE FUNCTION waqiti_thread_kept();
ALTER TABLE approvals_thread ENABLE ALWAYS TRIGGER thread_kept;
