-- The exception instead of a backup: asked for where a worker found that what the size rule asks for can't be had;
-- signed by two senior DBAs and a platform lead, three outsiders; never changed, and bound to one change.

CREATE FUNCTION waqiti_exception_role(person bigint, roles text[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM approvals_user u
          JOIN approvals_user_groups ug ON ug.user_id = u.id
          JOIN auth_group g ON g.id = ug.group_id
         WHERE u.id = person AND u.is_active AND g.name = ANY (roles)) THEN
        RAISE EXCEPTION 'a backup exception takes another role'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'exception_takes_a_role';
    END IF;
END $$;

-- It is about the change as it is submitted now, which stays so until the transaction ends.
CREATE FUNCTION waqiti_exception_present(request bigint, digest text, since timestamptz) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM 1 FROM approvals_rollbackrequest
      WHERE id = request AND status IN ('in_review', 'approved', 'executing')
        AND change_digest = digest AND digest <> '' AND submitted_at <= since
        FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'backup exception for another change than the one that is submitted'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'exception_of_present_change';
    END IF;
END $$;

CREATE FUNCTION waqiti_exception_write() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    free text[] := ARRAY['granted_at', 'removed_by_id', 'removed_at'];
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM waqiti_exception_present(NEW.rollback_id, NEW.change_digest, NEW.proposed_at);
        IF NEW.granted_at IS NOT NULL OR NEW.removed_by_id IS NOT NULL THEN
            RAISE EXCEPTION 'a backup exception begins as a request of one person'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'exception_begins_with_one';
        END IF;
        -- Below the limit a verified dump can always be had, so only a worker's word opens this way.
        IF NOT EXISTS (
            SELECT 1 FROM approvals_evidence e
             WHERE e.id = NEW.evidence_id AND e.rollback_id = NEW.rollback_id
               AND e.change_digest = NEW.change_digest AND e.kind IN ('backup', 'preflight') AND NOT e.holds
               AND e.data @> '{"above_limit": true}'
               AND NOT EXISTS (SELECT 1 FROM approvals_evidence later
                                WHERE later.rollback_id = e.rollback_id AND later.id > e.id AND later.holds
                                  AND later.target_id IS NOT DISTINCT FROM e.target_id
                                  AND later.change_digest = e.change_digest AND later.kind = 'backup')) THEN
            RAISE EXCEPTION 'no worker found that the backup of this change can''t be had for its size'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'exception_where_no_backup_can_be_had';
        END IF;
        PERFORM waqiti_exception_role(NEW.proposed_by_id, ARRAY['engineer', 'ops']);
        RETURN NEW;
    END IF;
    IF to_jsonb(OLD) - free <> to_jsonb(NEW) - free OR OLD.granted_at IS NOT NULL OR OLD.removed_by_id IS NOT NULL THEN
        RAISE EXCEPTION 'a backup exception never changes'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'exception_is_fixed';
    END IF;
    IF NEW.granted_at IS NOT NULL AND NOT waqiti_exception_complete(NEW.id) THEN
        RAISE EXCEPTION 'a backup exception is granted by three signatures'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'exception_takes_three';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION waqiti_exception_complete(exception bigint) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(*) FILTER (WHERE role = 'senior_dba') = 2 AND count(*) FILTER (WHERE role = 'platform_lead') = 1
      FROM approvals_exceptionsignature WHERE exception_id = exception;
$$;

CREATE FUNCTION waqiti_exception_signature() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    asked record;
BEGIN
    SELECT rollback_id, change_digest, proposed_at INTO asked
      FROM approvals_backupexception WHERE id = NEW.exception_id;
    PERFORM waqiti_exception_present(asked.rollback_id, asked.change_digest, asked.proposed_at);
    SELECT * INTO asked FROM approvals_backupexception WHERE id = NEW.exception_id FOR NO KEY UPDATE;
    IF asked.granted_at IS NOT NULL OR asked.removed_by_id IS NOT NULL OR asked.expires_at <= now()
       OR NEW.signed_at >= asked.expires_at OR NEW.signed_at < asked.proposed_at THEN
        RAISE EXCEPTION 'this backup exception waits for nobody'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'exception_waits_for_signatures';
    END IF;
    IF NEW.person_id = asked.proposed_by_id
       OR EXISTS (SELECT 1 FROM approvals_rollbackrequest r
                   WHERE r.id = asked.rollback_id AND r.requester_id = NEW.person_id)
       OR EXISTS (SELECT 1 FROM approvals_rollbackitem i
                    JOIN approvals_rollbackscript_authors a ON a.rollbackscript_id = i.script_id
                   WHERE i.rollback_id = asked.rollback_id AND a.user_id = NEW.person_id) THEN
        RAISE EXCEPTION 'backup exception signed by who asked, the requester or an author'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'exception_signed_by_outsiders';
    END IF;
    IF NEW.role NOT IN ('senior_dba', 'platform_lead')
       OR (SELECT count(*) FROM approvals_exceptionsignature s
            WHERE s.exception_id = NEW.exception_id AND s.role = NEW.role)
          >= (CASE NEW.role WHEN 'senior_dba' THEN 2 ELSE 1 END) THEN
        RAISE EXCEPTION 'no signature of this role is missing'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'exception_signed_by_two_dbas_and_a_lead';
    END IF;
    PERFORM waqiti_exception_role(NEW.person_id, ARRAY[NEW.role::text]);
    RETURN NEW;
END $$;

-- The last signature grants it and marks the rollback, in the same transaction.
CREATE FUNCTION waqiti_exception_signed() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF waqiti_exception_complete(NEW.exception_id) THEN
        UPDATE approvals_backupexception SET granted_at = NEW.signed_at
         WHERE id = NEW.exception_id AND granted_at IS NULL;
        UPDATE approvals_rollbackrequest SET excepted = true
         WHERE NOT excepted
           AND id = (SELECT rollback_id FROM approvals_backupexception WHERE id = NEW.exception_id);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER exception_write BEFORE INSERT OR UPDATE ON approvals_backupexception
    FOR EACH ROW EXECUTE FUNCTION waqiti_exception_write();
CREATE TRIGGER exception_kept BEFORE DELETE ON approvals_backupexception
    FOR EACH ROW EXECUTE FUNCTION waqiti_append_only();
CREATE TRIGGER exception_truncate BEFORE TRUNCATE ON approvals_backupexception
    FOR EACH STATEMENT EXECUTE FUNCTION waqiti_append_only();
CREATE TRIGGER exception_signature BEFORE INSERT ON approvals_exceptionsignature
    FOR EACH ROW EXECUTE FUNCTION waqiti_exception_signature();
CREATE TRIGGER exception_signed AFTER INSERT ON approvals_exceptionsignature
    FOR EACH ROW EXECUTE FUNCTION waqiti_exception_signed();
CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON approvals_exceptionsignature
    FOR EACH ROW EXECUTE FUNCTION waqiti_append_only();
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON approvals_exceptionsignature
    FOR EACH STATEMENT EXECUTE FUNCTION waqiti_append_only();
ALTER TABLE approvals_backupexception ENABLE ALWAYS TRIGGER exception_write;
ALTER TABLE approvals_backupexception ENABLE ALWAYS TRIGGER exception_kept;
ALTER TABLE approvals_backupexception ENABLE ALWAYS TRIGGER exception_truncate;
ALTER TABLE approvals_exceptionsignature ENABLE ALWAYS TRIGGER exception_signature;
ALTER TABLE approvals_exceptionsignature ENABLE ALWAYS TRIGGER exception_signed;
ALTER TABLE approvals_exceptionsignature ENABLE ALWAYS TRIGGER append_only_rows;
ALTER TABLE approvals_exceptionsignature ENABLE ALWAYS TRIGGER append_only_table;

-- The mark of a rollback says what is on record, no more and no less, and never goes.
CREATE FUNCTION waqiti_excepted_mark() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT NEW.excepted OR NOT EXISTS (SELECT 1 FROM approvals_backupexception
                                        WHERE rollback_id = NEW.id AND granted_at IS NOT NULL) THEN
        RAISE EXCEPTION 'only a granted backup exception marks a rollback, for good'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'excepted_is_marked_for_good';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER excepted_from_the_start BEFORE INSERT ON approvals_rollbackrequest
    FOR EACH ROW WHEN (NEW.excepted) EXECUTE FUNCTION waqiti_excepted_mark();
CREATE TRIGGER excepted_mark BEFORE UPDATE ON approvals_rollbackrequest
    FOR EACH ROW WHEN (OLD.excepted IS DISTINCT FROM NEW.excepted) EXECUTE FUNCTION waqiti_excepted_mark();
ALTER TABLE approvals_rollbackrequest ENABLE ALWAYS TRIGGER excepted_from_the_start;
ALTER TABLE approvals_rollbackrequest ENABLE ALWAYS TRIGGER excepted_mark;

-- A lesser backup may be taken in its name only while it is in force, for the very change that is carried out.
CREATE FUNCTION waqiti_backup_excepted() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.exception_id IS NOT NULL THEN
        IF NEW.exception_id IS DISTINCT FROM OLD.exception_id THEN
            RAISE EXCEPTION 'a backup that was taken by exception stays one'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'backup_excepted_for_good';
        END IF;
        RETURN NEW;
    END IF;
    IF NOT EXISTS (
        SELECT 1 FROM approvals_execution x
          JOIN approvals_rollbacktarget t ON t.id = x.rollback_target_id
          JOIN approvals_rollbackrequest r ON r.id = t.rollback_id
          JOIN approvals_backupexception e ON e.rollback_id = r.id
         WHERE x.id = NEW.execution_id AND e.id = NEW.exception_id AND e.granted_at IS NOT NULL
           AND now() < e.expires_at AND e.change_digest = x.change_digest
           AND r.change_digest = e.change_digest AND r.submitted_at <= e.proposed_at) THEN
        RAISE EXCEPTION 'no exception is in force for the change of this backup'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'backup_by_exception_in_force';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER backup_excepted BEFORE INSERT OR UPDATE ON approvals_backup
    FOR EACH ROW WHEN (NEW.exception_id IS NOT NULL) EXECUTE FUNCTION waqiti_backup_excepted();
CREATE TRIGGER backup_excepted_still BEFORE UPDATE ON approvals_backup
    FOR EACH ROW WHEN (OLD.exception_id IS NOT NULL AND NEW.exception_id IS NULL)
    EXECUTE FUNCTION waqiti_backup_excepted();
ALTER TABLE approvals_backup ENABLE ALWAYS TRIGGER backup_excepted;
ALTER TABLE approvals_backup ENABLE ALWAYS TRIGGER backup_excepted_still;

-- Everything but the columns named here is what people read and sign.
CREATE OR REPLACE FUNCTION waqiti_rollback_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moving text[] := ARRAY['status', 'attempts', 'updated_at', 'approved_at', 'expires_at', 'ended_at', 'forced',
                             'excepted'];
BEGIN
    IF NEW.status = 'cancelled' AND OLD.status <> 'cancelled' THEN
        moving := moving || 'withdrawn_because'::text;
    END IF;
    IF (OLD.status <> 'draft' AND to_jsonb(NEW) - moving <> to_jsonb(OLD) - moving)
       OR (NEW.requester_id, NEW.service_id) IS DISTINCT FROM (OLD.requester_id, OLD.service_id) THEN
        RAISE EXCEPTION 'only a draft can be edited'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'only_a_draft_can_be_edited';
    END IF;
    RETURN NEW;
END $$;
