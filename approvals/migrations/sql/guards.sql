-- What a step sends is fixed, and calling something settled by hand takes as many
-- people as going on with it.

CREATE FUNCTION waqiti_step_write() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF (NEW.id, NEW.execution_id, NEW.position, NEW.item_position, NEW.kind, NEW.says, NEW.sql, NEW.how,
        NEW.claim, NEW.of_id, NEW.statements)
       IS DISTINCT FROM
       (OLD.id, OLD.execution_id, OLD.position, OLD.item_position, OLD.kind, OLD.says, OLD.sql, OLD.how,
        OLD.claim, OLD.of_id, OLD.statements) THEN
        RAISE EXCEPTION 'what a step sends does not change'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'step_is_fixed';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER step_write BEFORE UPDATE ON approvals_executionstep
    FOR EACH ROW EXECUTE FUNCTION waqiti_step_write();
CREATE TRIGGER step_kept BEFORE DELETE ON approvals_executionstep
    FOR EACH ROW EXECUTE FUNCTION waqiti_append_only();
CREATE TRIGGER step_truncate BEFORE TRUNCATE ON approvals_executionstep
    FOR EACH STATEMENT EXECUTE FUNCTION waqiti_append_only();
ALTER TABLE approvals_executionstep ENABLE ALWAYS TRIGGER step_write;
ALTER TABLE approvals_executionstep ENABLE ALWAYS TRIGGER step_kept;
ALTER TABLE approvals_executionstep ENABLE ALWAYS TRIGGER step_truncate;

CREATE FUNCTION waqiti_settled_by_hand() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.settled_as = 'by_hand' AND OLD.settled_at IS NULL THEN
        PERFORM waqiti_require_signed_continuation(NEW.id, NEW.rollback_target_id, 'by_hand');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER settled_by_hand BEFORE UPDATE OF settled_as ON approvals_execution
    FOR EACH ROW EXECUTE FUNCTION waqiti_settled_by_hand();
ALTER TABLE approvals_execution ENABLE ALWAYS TRIGGER settled_by_hand;

CREATE FUNCTION waqiti_calendar_confirmed_once() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF OLD.confirmed_at IS NOT NULL AND NEW.confirmed_by_id IS DISTINCT FROM OLD.confirmed_by_id THEN
        RAISE EXCEPTION 'who confirmed it never changes'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'confirmed_once';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER confirmed_once BEFORE UPDATE ON approvals_calendarentry
    FOR EACH ROW EXECUTE FUNCTION waqiti_calendar_confirmed_once();
ALTER TABLE approvals_calendarentry ENABLE ALWAYS TRIGGER confirmed_once;
