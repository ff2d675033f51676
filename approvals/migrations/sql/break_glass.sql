-- Break-glass: what was asked for never changes, nobody confirms their own, and whoever confirms is a senior DBA
-- who neither asked for the rollback nor wrote any of it. Once confirmed the rollback is marked for good.

CREATE FUNCTION waqiti_break_glass_write() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    asked record;
    fixed text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT status, change_digest INTO asked
          FROM approvals_rollbackrequest WHERE id = NEW.rollback_id FOR SHARE;
        IF asked.status NOT IN ('in_review', 'approved') OR NEW.change_digest = ''
           OR asked.change_digest IS DISTINCT FROM NEW.change_digest THEN
            RAISE EXCEPTION 'break-glass of another change than the one in review'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'break_glass_of_present_change';
        END IF;
        IF NEW.confirmed_by_id IS NOT NULL OR NEW.closed_by_id IS NOT NULL OR NEW.removed_by_id IS NOT NULL THEN
            RAISE EXCEPTION 'break-glass begins as a request of one person'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'break_glass_begins_with_one';
        END IF;
        PERFORM waqiti_break_glass_role(NEW.proposed_by_id, ARRAY['engineer', 'ops']);
        RETURN NEW;
    END IF;
    FOREACH fixed IN ARRAY ARRAY['id', 'rollback_id', 'change_digest', 'skips', 'reason', 'proposed_by_id',
                                 'proposed_at', 'expires_at'] LOOP
        IF to_jsonb(OLD) -> fixed IS DISTINCT FROM to_jsonb(NEW) -> fixed THEN
            RAISE EXCEPTION '% of a break-glass never changes', fixed
                USING ERRCODE = 'check_violation', CONSTRAINT = 'break_glass_is_fixed';
        END IF;
    END LOOP;
    -- Confirmed, taken back or closed once; nothing of it ever changes again.
    IF (OLD.confirmed_by_id IS NOT NULL
        AND (OLD.confirmed_by_id, OLD.confirmed_at, OLD.proved_at, OLD.due_at)
            IS DISTINCT FROM (NEW.confirmed_by_id, NEW.confirmed_at, NEW.proved_at, NEW.due_at))
       OR OLD.removed_by_id IS NOT NULL OR OLD.closed_by_id IS NOT NULL THEN
        RAISE EXCEPTION 'what was said of a break-glass never changes'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'break_glass_is_fixed';
    END IF;
    IF OLD.confirmed_by_id IS NULL AND NEW.confirmed_by_id IS NOT NULL THEN
        SELECT status, change_digest, requester_id INTO asked
          FROM approvals_rollbackrequest WHERE id = NEW.rollback_id FOR NO KEY UPDATE;
        IF asked.status NOT IN ('in_review', 'approved') OR asked.change_digest IS DISTINCT FROM NEW.change_digest THEN
            RAISE EXCEPTION 'break-glass of another change than the one in review'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'break_glass_of_present_change';
        END IF;
        IF asked.requester_id = NEW.confirmed_by_id
           OR EXISTS (SELECT 1 FROM approvals_rollbackitem i
                        JOIN approvals_rollbackscript_authors a ON a.rollbackscript_id = i.script_id
                       WHERE i.rollback_id = NEW.rollback_id AND a.user_id = NEW.confirmed_by_id) THEN
            RAISE EXCEPTION 'break-glass confirmed by requester or author'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'break_glass_confirmed_by_an_outsider';
        END IF;
        PERFORM waqiti_break_glass_role(NEW.confirmed_by_id, ARRAY['senior_dba']);
        UPDATE approvals_rollbackrequest SET forced = true WHERE id = NEW.rollback_id AND NOT forced;
    END IF;
    IF OLD.closed_by_id IS NULL AND NEW.closed_by_id IS NOT NULL THEN
        PERFORM waqiti_break_glass_role(NEW.closed_by_id, ARRAY['senior_dba', 'platform_lead']);
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION waqiti_break_glass_role(person bigint, roles text[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM approvals_user u
          JOIN approvals_user_groups ug ON ug.user_id = u.id
          JOIN auth_group g ON g.id = ug.group_id
         WHERE u.id = person AND u.is_active AND g.name = ANY (roles)) THEN
        RAISE EXCEPTION 'break-glass by somebody without the role'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'break_glass_takes_a_role';
    END IF;
END $$;

CREATE TRIGGER break_glass_write BEFORE INSERT OR UPDATE ON approvals_breakglass
    FOR EACH ROW EXECUTE FUNCTION waqiti_break_glass_write();
CREATE TRIGGER break_glass_kept BEFORE DELETE ON approvals_breakglass
    FOR EACH ROW EXECUTE FUNCTION waqiti_append_only();
CREATE TRIGGER break_glass_truncate BEFORE TRUNCATE ON approvals_breakglass
    FOR EACH STATEMENT EXECUTE FUNCTION waqiti_append_only();
ALTER TABLE approvals_breakglass ENABLE ALWAYS TRIGGER break_glass_write;
ALTER TABLE approvals_breakglass ENABLE ALWAYS TRIGGER break_glass_kept;
ALTER TABLE approvals_breakglass ENABLE ALWAYS TRIGGER break_glass_truncate;

-- The mark of a rollback says what is on record, no more and no less, and never goes.
CREATE FUNCTION waqiti_forced_mark() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NOT NEW.forced OR pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'only a confirmed break-glass marks a rollback as forced, for good'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'forced_is_marked_for_good';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER forced_from_the_start BEFORE INSERT ON approvals_rollbackrequest
    FOR EACH ROW WHEN (NEW.forced) EXECUTE FUNCTION waqiti_forced_mark();
CREATE TRIGGER forced_mark BEFORE UPDATE ON approvals_rollbackrequest
    FOR EACH ROW WHEN (OLD.forced IS DISTINCT FROM NEW.forced) EXECUTE FUNCTION waqiti_forced_mark();
ALTER TABLE approvals_rollbackrequest ENABLE ALWAYS TRIGGER forced_from_the_start;
ALTER TABLE approvals_rollbackrequest ENABLE ALWAYS TRIGGER forced_mark;

-- Everything but the columns named here is what people read and sign.
CREATE OR REPLACE FUNCTION waqiti_rollback_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moving text[] := ARRAY['status', 'attempts', 'updated_at', 'approved_at', 'expires_at', 'ended_at', 'forced'];
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
