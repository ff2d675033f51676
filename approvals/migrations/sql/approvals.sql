-- Decisions: by whom they may be given, to what they bind, and that they can only be voided afterwards.
-- Functions have a fixed search_path, because a temporary table would hide the real one from them.

CREATE FUNCTION waqiti_approval_insert() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    asked record;
BEGIN
    -- FOR SHARE: an edit under way ends before a decision on what it edits is taken down.
    SELECT requester_id, status, request_digest INTO asked
      FROM approvals_rollbackrequest WHERE id = NEW.rollback_id FOR SHARE;
    IF asked.requester_id = NEW.approver_id THEN
        RAISE EXCEPTION 'approver is the requester'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'approver_is_not_requester';
    END IF;
    IF EXISTS (SELECT 1 FROM approvals_rollbackitem i
                 JOIN approvals_rollbackscript_authors a ON a.rollbackscript_id = i.script_id
                WHERE i.rollback_id = NEW.rollback_id AND a.user_id = NEW.approver_id) THEN
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
    IF asked.status NOT IN ('in_review', 'approved') OR asked.request_digest = ''
       OR asked.request_digest IS DISTINCT FROM NEW.request_digest THEN
        RAISE EXCEPTION 'decision on another digest than the one in review'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'approval_binds_to_present_digest';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_insert BEFORE INSERT ON approvals_approval
    FOR EACH ROW EXECUTE FUNCTION waqiti_approval_insert();

CREATE FUNCTION waqiti_approval_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.voided_at IS NULL AND NEW.voided_at IS NOT NULL
       AND to_jsonb(NEW) - ARRAY['voided_at', 'void_reason'] = to_jsonb(OLD) - ARRAY['voided_at', 'void_reason'] THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'an approval can only be voided' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER approval_change BEFORE UPDATE OR DELETE ON approvals_approval
    FOR EACH ROW EXECUTE FUNCTION waqiti_approval_change();
CREATE TRIGGER approval_truncate BEFORE TRUNCATE ON approvals_approval
    FOR EACH STATEMENT EXECUTE FUNCTION waqiti_append_only();

ALTER TABLE approvals_approval ENABLE ALWAYS TRIGGER approval_insert;
ALTER TABLE approvals_approval ENABLE ALWAYS TRIGGER approval_change;
ALTER TABLE approvals_approval ENABLE ALWAYS TRIGGER approval_truncate;
