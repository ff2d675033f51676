-- A run over many targets: what it is for never changes, what is over stays over, and an execution on one of
-- several targets begins only while its run runs, and after its canary.

CREATE FUNCTION waqiti_run_write() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NOT EXISTS (SELECT 1 FROM approvals_rollbackrequest r WHERE r.id = NEW.rollback_id
                          AND r.status = 'executing' AND r.request_digest = NEW.request_digest) THEN
            RAISE EXCEPTION 'no approved rollback carries this run'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'run_of_approved_digest';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.rollback_id, NEW.request_digest, NEW.wave_size, NEW.stop_after, NEW.started_by_id,
        NEW.started_at, NEW.confirmed_at)
       IS DISTINCT FROM
       (OLD.id, OLD.rollback_id, OLD.request_digest, OLD.wave_size, OLD.stop_after, OLD.started_by_id,
        OLD.started_at, OLD.confirmed_at) THEN
        RAISE EXCEPTION 'what a run is for does not change'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'run_keeps_its_purpose';
    END IF;
    IF OLD.state IN ('cancelled', 'finished') AND NEW.state <> OLD.state
       OR OLD.ended_at IS NOT NULL AND NEW.ended_at IS DISTINCT FROM OLD.ended_at THEN
        RAISE EXCEPTION 'what is over stays over'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'run_ends_once';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER run_write BEFORE INSERT OR UPDATE ON approvals_fleetrun
    FOR EACH ROW EXECUTE FUNCTION waqiti_run_write();
CREATE TRIGGER run_kept BEFORE DELETE ON approvals_fleetrun
    FOR EACH ROW EXECUTE FUNCTION waqiti_append_only();
CREATE TRIGGER run_truncate BEFORE TRUNCATE ON approvals_fleetrun
    FOR EACH STATEMENT EXECUTE FUNCTION waqiti_append_only();
ALTER TABLE approvals_fleetrun ENABLE ALWAYS TRIGGER run_write;
ALTER TABLE approvals_fleetrun ENABLE ALWAYS TRIGGER run_kept;
ALTER TABLE approvals_fleetrun ENABLE ALWAYS TRIGGER run_truncate;

-- Named to run before `execution_write`, which asks the rest.
CREATE FUNCTION waqiti_execution_run() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    place int;
    several boolean;
    run record;
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.run_id, NEW.wave) IS DISTINCT FROM (OLD.run_id, OLD.wave) THEN
        RAISE EXCEPTION 'an execution does not change its run'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'execution_keeps_its_run';
    END IF;
    IF NEW.purpose = 'rehearsal' OR TG_OP = 'UPDATE' AND NEW.run_id IS NULL THEN
        RETURN NEW;
    END IF;
    SELECT rt.position, EXISTS (SELECT 1 FROM approvals_rollbacktarget o
                                 WHERE o.rollback_id = rt.rollback_id AND o.id <> rt.id)
      INTO place, several
      FROM approvals_rollbacktarget rt WHERE rt.id = NEW.rollback_target_id;
    IF NOT several AND NEW.run_id IS NULL THEN
        RETURN NEW;
    END IF;
    -- FOR SHARE: a run that is being stopped is stopped before another target of it begins.
    SELECT r.state, r.rollback_id = rt.rollback_id AND r.request_digest = NEW.request_digest AS fits INTO run
      FROM approvals_fleetrun r, approvals_rollbacktarget rt
     WHERE r.id = NEW.run_id AND rt.id = NEW.rollback_target_id FOR SHARE OF r;
    IF run IS NULL OR NOT run.fits THEN
        RAISE EXCEPTION 'one of several targets runs in a run of its rollback only'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'execution_of_its_run';
    END IF;
    -- What continues another one was signed for by itself.
    IF NEW.continues_id IS NOT NULL
       OR TG_OP = 'UPDATE' AND NOT (OLD.status = 'queued' AND NEW.status = 'claimed') THEN
        RETURN NEW;
    END IF;
    IF run.state <> 'running' THEN
        RAISE EXCEPTION 'the run does not run'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'run_runs';
    END IF;
    IF place <> 1 AND NOT EXISTS (
        SELECT 1 FROM approvals_execution e JOIN approvals_rollbacktarget rt ON rt.id = e.rollback_target_id
         WHERE e.run_id = NEW.run_id AND rt.position = 1 AND e.status = 'succeeded' AND e.course <> 'take_back')
    THEN
        RAISE EXCEPTION 'the canary comes first'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'canary_first';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER execution_run BEFORE INSERT OR UPDATE OF status, run_id, wave ON approvals_execution
    FOR EACH ROW EXECUTE FUNCTION waqiti_execution_run();
ALTER TABLE approvals_execution ENABLE ALWAYS TRIGGER execution_run;

-- While a run is not over its rollback is executing, and nothing else.
CREATE FUNCTION waqiti_rollback_run() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF OLD.status = 'executing' AND NEW.status <> OLD.status
       AND EXISTS (SELECT 1 FROM approvals_fleetrun r WHERE r.rollback_id = NEW.id AND r.ended_at IS NULL) THEN
        RAISE EXCEPTION 'a run of this rollback is not over'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'run_over_before_rollback';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rollback_run BEFORE UPDATE OF status ON approvals_rollbackrequest
    FOR EACH ROW EXECUTE FUNCTION waqiti_rollback_run();
ALTER TABLE approvals_rollbackrequest ENABLE ALWAYS TRIGGER rollback_run;

-- A run tells its page by the name of its rollback, as events do.
CREATE FUNCTION waqiti_tell_run() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('waqiti_changes', 'rollback:RB-' || NEW.rollback_id);
    RETURN NULL;
END $$;
CREATE TRIGGER tell_run AFTER INSERT OR UPDATE ON approvals_fleetrun
    FOR EACH ROW EXECUTE FUNCTION waqiti_tell_run();
ALTER TABLE approvals_fleetrun ENABLE ALWAYS TRIGGER tell_run;
