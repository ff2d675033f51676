-- What was left partly done is gone on with, or taken back, only as enough people signed for; and until it is
-- settled nothing else starts on its target.

CREATE OR REPLACE FUNCTION waqiti_execution_write() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.rollback_target_id, NEW.target_id, NEW.purpose, NEW.change_digest, NEW.request_digest,
            NEW.continues_id, NEW.course)
           IS DISTINCT FROM
           (OLD.id, OLD.rollback_target_id, OLD.target_id, OLD.purpose, OLD.change_digest, OLD.request_digest,
            OLD.continues_id, OLD.course) THEN
            RAISE EXCEPTION 'what an execution is for does not change'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'execution_keeps_its_purpose';
        END IF;
        IF OLD.settled_at IS NOT NULL
           AND (NEW.settled_at, NEW.settled_as) IS DISTINCT FROM (OLD.settled_at, OLD.settled_as) THEN
            RAISE EXCEPTION 'what is settled stays settled'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'settled_once';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.purpose = 'rehearsal' THEN
        RETURN NEW;
    END IF;
    IF NOT EXISTS (
        SELECT 1 FROM approvals_rollbacktarget rt JOIN approvals_rollbackrequest r ON r.id = rt.rollback_id
         WHERE rt.id = NEW.rollback_target_id AND rt.target_id = NEW.target_id AND r.status = 'executing'
           AND r.change_digest = NEW.change_digest AND r.request_digest = NEW.request_digest) THEN
        RAISE EXCEPTION 'no approved rollback carries this execution'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'execution_of_approved_digest';
    END IF;
    IF EXISTS (
        SELECT 1 FROM approvals_execution e
         WHERE e.target_id = NEW.target_id AND e.purpose = 'real' AND e.status = 'partial'
           AND e.settled_at IS NULL AND e.id IS DISTINCT FROM NEW.continues_id) THEN
        RAISE EXCEPTION 'something partly done on this target is not settled'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'partly_done_comes_first';
    END IF;
    IF NEW.continues_id IS NOT NULL THEN
        PERFORM waqiti_require_signed_continuation(NEW.continues_id, NEW.rollback_target_id, NEW.course);
    END IF;
    RETURN NEW;
END $$;

-- The floors are those of `waqiti_approval_floor`; the policy may ask for more, never for less.
CREATE FUNCTION waqiti_require_signed_continuation(continued uuid, rollback_target bigint, what text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    wanted int;
    given int;
BEGIN
    SELECT CASE WHEN t.environment = 'staging' THEN 0 WHEN coalesce(r.risk, 5) >= 4 THEN 2 ELSE 1 END
      INTO wanted
      FROM approvals_execution e
      JOIN approvals_rollbacktarget rt ON rt.id = e.rollback_target_id
      JOIN approvals_rollbackrequest r ON r.id = rt.rollback_id
      JOIN approvals_target t ON t.id = e.target_id
     WHERE e.id = continued AND e.rollback_target_id = rollback_target AND e.purpose = 'real'
       AND e.status = 'partial' AND e.settled_at IS NULL;
    SELECT count(DISTINCT a.approver_id) INTO given
      FROM approvals_continuation c
      LEFT JOIN approvals_continuationapproval a ON a.continuation_id = c.id AND a.digest = c.digest
     WHERE c.execution_id = continued AND c.course = what AND c.voided_at IS NULL AND c.carried_out_id IS NULL
    HAVING count(c.id) > 0;
    IF wanted IS NULL OR given IS NULL OR given < wanted THEN
        RAISE EXCEPTION 'continuing was signed by % of at least %', coalesce(given, 0), wanted
            USING ERRCODE = 'check_violation', CONSTRAINT = 'continuation_floor';
    END IF;
END $$;

CREATE FUNCTION waqiti_continuation_write() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NOT EXISTS (
        SELECT 1 FROM approvals_execution e
         WHERE e.id = NEW.execution_id AND e.purpose = 'real' AND e.status = 'partial'
           AND e.settled_at IS NULL) THEN
        RAISE EXCEPTION 'nothing there is partly done'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'continuation_of_partly_done';
    END IF;
    IF TG_OP = 'UPDATE' AND (
        to_jsonb(NEW) - ARRAY['voided_at', 'void_reason', 'carried_out_id']
        <> to_jsonb(OLD) - ARRAY['voided_at', 'void_reason', 'carried_out_id']
        OR OLD.voided_at IS NOT NULL OR OLD.carried_out_id IS NOT NULL) THEN
        RAISE EXCEPTION 'what was asked for does not change'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'continuation_is_fixed';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER continuation_write BEFORE INSERT OR UPDATE ON approvals_continuation
    FOR EACH ROW EXECUTE FUNCTION waqiti_continuation_write();
CREATE TRIGGER continuation_kept BEFORE DELETE ON approvals_continuation
    FOR EACH ROW EXECUTE FUNCTION waqiti_append_only();
CREATE TRIGGER continuation_truncate BEFORE TRUNCATE ON approvals_continuation
    FOR EACH STATEMENT EXECUTE FUNCTION waqiti_append_only();

CREATE FUNCTION waqiti_continuation_approval_insert() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    asked record;
BEGIN
    SELECT c.asked_by_id, c.digest, c.voided_at, c.carried_out_id, r.id AS rollback_id, r.requester_id
      INTO asked
      FROM approvals_continuation c
      JOIN approvals_execution e ON e.id = c.execution_id
      JOIN approvals_rollbacktarget rt ON rt.id = e.rollback_target_id
      JOIN approvals_rollbackrequest r ON r.id = rt.rollback_id
     WHERE c.id = NEW.continuation_id;
    IF NEW.approver_id IN (asked.requester_id, asked.asked_by_id) THEN
        RAISE EXCEPTION 'approver asked for it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'approver_is_not_requester';
    END IF;
    IF EXISTS (SELECT 1 FROM approvals_rollbackitem i
                 JOIN approvals_rollbackscript_authors a ON a.rollbackscript_id = i.script_id
                WHERE i.rollback_id = asked.rollback_id AND a.user_id = NEW.approver_id) THEN
        RAISE EXCEPTION 'approver is an author'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'approver_is_not_author';
    END IF;
    IF NEW.role NOT IN ('senior_dba', 'platform_lead') OR NOT EXISTS (
        SELECT 1 FROM approvals_user u
          JOIN approvals_user_groups ug ON ug.user_id = u.id
          JOIN auth_group g ON g.id = ug.group_id
         WHERE u.id = NEW.approver_id AND u.is_active AND g.name = NEW.role) THEN
        RAISE EXCEPTION 'approver does not hold the role %', NEW.role
            USING ERRCODE = 'check_violation', CONSTRAINT = 'approver_holds_the_role';
    END IF;
    IF asked.voided_at IS NOT NULL OR asked.carried_out_id IS NOT NULL OR asked.digest <> NEW.digest THEN
        RAISE EXCEPTION 'signature under something else than what is asked for'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'approval_binds_to_present_digest';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER continuation_approval_insert BEFORE INSERT ON approvals_continuationapproval
    FOR EACH ROW EXECUTE FUNCTION waqiti_continuation_approval_insert();
CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON approvals_continuationapproval
    FOR EACH ROW EXECUTE FUNCTION waqiti_append_only();
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON approvals_continuationapproval
    FOR EACH STATEMENT EXECUTE FUNCTION waqiti_append_only();

ALTER TABLE approvals_continuation ENABLE ALWAYS TRIGGER continuation_write;
ALTER TABLE approvals_continuation ENABLE ALWAYS TRIGGER continuation_kept;
ALTER TABLE approvals_continuation ENABLE ALWAYS TRIGGER continuation_truncate;
ALTER TABLE approvals_continuationapproval ENABLE ALWAYS TRIGGER continuation_approval_insert;
ALTER TABLE approvals_continuationapproval ENABLE ALWAYS TRIGGER append_only_rows;
ALTER TABLE approvals_continuationapproval ENABLE ALWAYS TRIGGER append_only_table;
