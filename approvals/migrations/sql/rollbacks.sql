-- A rollback begins as a draft, changes only while it is one, becomes approved only with enough signatures, and
-- takes its approvals along when it leaves the way from review to execution.

CREATE FUNCTION waqiti_rollback_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> 'draft' THEN
        RAISE EXCEPTION 'a rollback begins as a draft'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'rollback_begins_as_draft';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rollback_insert BEFORE INSERT ON approvals_rollbackrequest
    FOR EACH ROW EXECUTE FUNCTION waqiti_rollback_insert();

-- Everything but the columns named here is what people read and sign.
CREATE FUNCTION waqiti_rollback_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moving text[] := ARRAY['status', 'attempts', 'updated_at', 'approved_at', 'expires_at', 'ended_at'];
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
CREATE TRIGGER rollback_frozen BEFORE UPDATE ON approvals_rollbackrequest
    FOR EACH ROW EXECUTE FUNCTION waqiti_rollback_frozen();

CREATE FUNCTION waqiti_parts_frozen() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    -- Lock first, look then: it may be on its way out of the draft.
    PERFORM 1 FROM approvals_rollbackrequest WHERE id IN (OLD.rollback_id, NEW.rollback_id) FOR SHARE;
    IF EXISTS (SELECT 1 FROM approvals_rollbackrequest
                WHERE id IN (OLD.rollback_id, NEW.rollback_id) AND status <> 'draft') THEN
        RAISE EXCEPTION 'only a draft can be edited'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'only_a_draft_can_be_edited';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER item_frozen BEFORE INSERT OR UPDATE OR DELETE ON approvals_rollbackitem
    FOR EACH ROW EXECUTE FUNCTION waqiti_parts_frozen();
CREATE TRIGGER target_frozen BEFORE INSERT OR UPDATE OR DELETE ON approvals_rollbacktarget
    FOR EACH ROW EXECUTE FUNCTION waqiti_parts_frozen();
CREATE TRIGGER item_truncate BEFORE TRUNCATE ON approvals_rollbackitem
    FOR EACH STATEMENT EXECUTE FUNCTION waqiti_append_only();
CREATE TRIGGER target_truncate BEFORE TRUNCATE ON approvals_rollbacktarget
    FOR EACH STATEMENT EXECUTE FUNCTION waqiti_append_only();

-- The floors below every policy: production at least one signature, HIGH and CRITICAL two, on the present digest.
-- Requesters, authors and people without the role are kept out where approvals are written.
CREATE FUNCTION waqiti_approval_floor() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    wanted int;
    given int;
BEGIN
    IF NEW.status NOT IN ('approved', 'executing') OR NEW.status = OLD.status THEN
        RETURN NEW;
    END IF;
    SELECT CASE WHEN NOT bool_or(t.environment <> 'staging') THEN 0
                WHEN coalesce(NEW.risk, 5) >= 4 THEN 2
                ELSE 1 END
      INTO wanted
      FROM approvals_rollbacktarget rt JOIN approvals_target t ON t.id = rt.target_id
     WHERE rt.rollback_id = NEW.id;
    SELECT count(DISTINCT a.approver_id) INTO given
      FROM approvals_approval a
     WHERE a.rollback_id = NEW.id AND a.decision = 'approve' AND a.voided_at IS NULL
       AND a.request_digest = NEW.request_digest;
    IF given < wanted THEN
        RAISE EXCEPTION 'approved by % of at least %', given, wanted
            USING ERRCODE = 'check_violation', CONSTRAINT = 'approval_floor';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_floor BEFORE UPDATE OF status ON approvals_rollbackrequest
    FOR EACH ROW EXECUTE FUNCTION waqiti_approval_floor();

CREATE FUNCTION waqiti_approvals_end() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.status NOT IN ('in_review', 'approved', 'executing', 'executed') AND NEW.status <> OLD.status THEN
        UPDATE approvals_approval SET voided_at = now(), void_reason = NEW.status
         WHERE rollback_id = NEW.id AND decision = 'approve' AND voided_at IS NULL;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER approvals_end AFTER UPDATE OF status ON approvals_rollbackrequest
    FOR EACH ROW EXECUTE FUNCTION waqiti_approvals_end();

ALTER TABLE approvals_rollbackrequest ENABLE ALWAYS TRIGGER rollback_insert;
ALTER TABLE approvals_rollbackrequest ENABLE ALWAYS TRIGGER rollback_frozen;
ALTER TABLE approvals_rollbackrequest ENABLE ALWAYS TRIGGER approval_floor;
ALTER TABLE approvals_rollbackrequest ENABLE ALWAYS TRIGGER approvals_end;
ALTER TABLE approvals_rollbackitem ENABLE ALWAYS TRIGGER item_frozen;
ALTER TABLE approvals_rollbackitem ENABLE ALWAYS TRIGGER item_truncate;
ALTER TABLE approvals_rollbacktarget ENABLE ALWAYS TRIGGER target_frozen;
ALTER TABLE approvals_rollbacktarget ENABLE ALWAYS TRIGGER target_truncate;
