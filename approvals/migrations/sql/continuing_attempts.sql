-- What was signed for, to go on with what is partly done or to take it back, may be tried again while no try
-- has had an effect: up to three times, as a rollback may be before its approvals are void.

UPDATE approvals_execution e SET continuation_id = c.id
  FROM approvals_continuation c WHERE c.carried_out_id = e.id AND e.continues_id IS NOT NULL;
SET CONSTRAINTS ALL IMMEDIATE;

CREATE FUNCTION waqiti_continuing_attempt() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.continuation_id IS DISTINCT FROM OLD.continuation_id THEN
            RAISE EXCEPTION 'what an execution is for does not change'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'execution_keeps_its_purpose';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.continues_id IS NULL AND NEW.continuation_id IS NULL THEN
        RETURN NEW;
    END IF;
    IF NOT EXISTS (
        SELECT 1 FROM approvals_continuation c
         WHERE c.id = NEW.continuation_id AND c.execution_id = NEW.continues_id AND c.course = NEW.course
           AND c.voided_at IS NULL AND c.carried_out_id IS NULL) THEN
        RAISE EXCEPTION 'nobody asked for this'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'continued_as_asked';
    END IF;
    IF (SELECT count(*) >= 3 OR bool_or(e.status <> 'no_effect')
          FROM approvals_execution e WHERE e.continuation_id = NEW.continuation_id) THEN
        RAISE EXCEPTION 'the signatures for it are used up'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'continued_three_times';
    END IF;
    RETURN NEW;
END $$;
-- Named so that it comes behind `execution_write`, whose words about signatures tell more.
CREATE TRIGGER execution_write_continuing BEFORE INSERT OR UPDATE ON approvals_execution
    FOR EACH ROW EXECUTE FUNCTION waqiti_continuing_attempt();
ALTER TABLE approvals_execution ENABLE ALWAYS TRIGGER execution_write_continuing;

CREATE OR REPLACE FUNCTION waqiti_continuation_write() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NOT EXISTS (
        SELECT 1 FROM approvals_execution e
         WHERE e.id = NEW.execution_id AND e.purpose = 'real' AND e.status = 'partial'
           AND e.settled_at IS NULL) THEN
        RAISE EXCEPTION 'nothing there is partly done'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'continuation_of_partly_done';
    END IF;
    IF TG_OP = 'INSERT' THEN
        RETURN NEW;
    END IF;
    IF to_jsonb(NEW) - ARRAY['voided_at', 'void_reason', 'carried_out_id']
       <> to_jsonb(OLD) - ARRAY['voided_at', 'void_reason', 'carried_out_id']
       OR OLD.voided_at IS NOT NULL
       OR (OLD.carried_out_id IS NOT NULL AND NOT waqiti_may_stand_again(OLD, NEW)) THEN
        RAISE EXCEPTION 'what was asked for does not change'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'continuation_is_fixed';
    END IF;
    IF NEW.carried_out_id IS DISTINCT FROM OLD.carried_out_id AND NEW.carried_out_id IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM approvals_execution e
                        WHERE e.id = NEW.carried_out_id AND e.continuation_id = NEW.id) THEN
        RAISE EXCEPTION 'another execution carries this out'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'carried_out_as_asked';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION waqiti_may_stand_again(was approvals_continuation, becomes approvals_continuation)
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT becomes.carried_out_id IS NULL AND becomes.voided_at IS NULL
       AND EXISTS (SELECT 1 FROM approvals_execution e
                    WHERE e.id = was.carried_out_id AND e.status = 'no_effect')
       AND (SELECT count(*) < 3 FROM approvals_execution e WHERE e.continuation_id = was.id)
$$;
