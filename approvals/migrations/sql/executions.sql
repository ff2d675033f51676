-- A real execution carries the digest of a rollback that is executing; what an execution is for never changes.

CREATE FUNCTION waqiti_execution_write() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.rollback_target_id, NEW.target_id, NEW.purpose, NEW.change_digest, NEW.request_digest)
           IS DISTINCT FROM
           (OLD.id, OLD.rollback_target_id, OLD.target_id, OLD.purpose, OLD.change_digest, OLD.request_digest) THEN
            RAISE EXCEPTION 'what an execution is for does not change'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'execution_keeps_its_purpose';
        END IF;
    ELSIF NEW.purpose <> 'rehearsal' AND NOT EXISTS (
        SELECT 1 FROM approvals_rollbacktarget rt JOIN approvals_rollbackrequest r ON r.id = rt.rollback_id
         WHERE rt.id = NEW.rollback_target_id AND rt.target_id = NEW.target_id AND r.status = 'executing'
           AND r.change_digest = NEW.change_digest AND r.request_digest = NEW.request_digest) THEN
        RAISE EXCEPTION 'no approved rollback carries this execution'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'execution_of_approved_digest';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER execution_write BEFORE INSERT OR UPDATE ON approvals_execution
    FOR EACH ROW EXECUTE FUNCTION waqiti_execution_write();
ALTER TABLE approvals_execution ENABLE ALWAYS TRIGGER execution_write;
