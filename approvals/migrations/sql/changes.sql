-- What a commit changed is said by name on one channel, so that whoever has a page open can ask again.
-- Nothing but names of subjects: what changed, and whether somebody may see it, the portal says when asked.
-- PostgreSQL sends a name once per transaction, however often it is said.

CREATE FUNCTION waqiti_tell_event() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    said jsonb := NEW.body::jsonb;
    subject text;
BEGIN
    FOREACH subject IN ARRAY ARRAY['rollback', 'execution', 'target', 'incident'] LOOP
        IF said ->> subject <> '' THEN
            PERFORM pg_notify('waqiti_changes', subject || ':' || (said ->> subject));
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- Every change of state ends with an event.
CREATE TRIGGER tell_event AFTER INSERT ON approvals_auditevent
    FOR EACH ROW EXECUTE FUNCTION waqiti_tell_event();

-- What an execution shows between two events is its row, its steps, its log and its backup.
CREATE FUNCTION waqiti_tell_execution() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    id text := to_jsonb(NEW) ->> TG_ARGV[0];
BEGIN
    IF id IS NOT NULL THEN
        PERFORM pg_notify('waqiti_changes', 'execution:' || id);
    END IF;
    RETURN NULL;
END $$;

-- The heartbeat is written every second and changes nothing that is shown.
CREATE TRIGGER tell_execution AFTER UPDATE OF status, blocker, waiters, locks, marks ON approvals_execution
    FOR EACH ROW EXECUTE FUNCTION waqiti_tell_execution('id');
CREATE TRIGGER tell_step AFTER UPDATE ON approvals_executionstep
    FOR EACH ROW EXECUTE FUNCTION waqiti_tell_execution('execution_id');
CREATE TRIGGER tell_log AFTER INSERT ON approvals_executionlog
    FOR EACH ROW EXECUTE FUNCTION waqiti_tell_execution('execution_id');
CREATE TRIGGER tell_backup AFTER INSERT OR UPDATE ON approvals_backup
    FOR EACH ROW EXECUTE FUNCTION waqiti_tell_execution('execution_id');

-- A job that was answered shows on the page of what it is about.
CREATE FUNCTION waqiti_tell_job() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('waqiti_changes', 'job:' || NEW.kind || ':' || NEW.subject);
    RETURN NULL;
END $$;

CREATE TRIGGER tell_job AFTER UPDATE OF state ON approvals_job
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION waqiti_tell_job();

ALTER TABLE approvals_auditevent ENABLE ALWAYS TRIGGER tell_event;
ALTER TABLE approvals_execution ENABLE ALWAYS TRIGGER tell_execution;
ALTER TABLE approvals_executionstep ENABLE ALWAYS TRIGGER tell_step;
ALTER TABLE approvals_executionlog ENABLE ALWAYS TRIGGER tell_log;
ALTER TABLE approvals_backup ENABLE ALWAYS TRIGGER tell_backup;
ALTER TABLE approvals_job ENABLE ALWAYS TRIGGER tell_job;
