-- What a rule of masking says never changes, and none is deleted: others confirmed it by what it says.

CREATE FUNCTION waqiti_masking_says_the_same() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fixed text;
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION '% is kept: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF OLD.removed_at IS NOT NULL THEN
        RAISE EXCEPTION 'a rule that was taken away never changes' USING ERRCODE = 'insufficient_privilege';
    END IF;
    FOREACH fixed IN ARRAY ARRAY['id', 'service_id', 'columns', 'method', 'reason', 'proposed_by_id',
                                 'proposed_at'] LOOP
        IF to_jsonb(OLD) -> fixed IS DISTINCT FROM to_jsonb(NEW) -> fixed THEN
            RAISE EXCEPTION '% of a rule of masking never changes', fixed
                USING ERRCODE = 'insufficient_privilege';
        END IF;
    END LOOP;
    IF OLD.confirmed_at IS NOT NULL AND NEW.confirmed_at IS DISTINCT FROM OLD.confirmed_at THEN
        RAISE EXCEPTION 'a confirmation never changes' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER says_the_same BEFORE UPDATE OR DELETE ON approvals_maskingrule
    FOR EACH ROW EXECUTE FUNCTION waqiti_masking_says_the_same();
CREATE TRIGGER says_the_same_table BEFORE TRUNCATE ON approvals_maskingrule
    FOR EACH STATEMENT EXECUTE FUNCTION waqiti_append_only();
ALTER TABLE approvals_maskingrule ENABLE ALWAYS TRIGGER says_the_same;
ALTER TABLE approvals_maskingrule ENABLE ALWAYS TRIGGER says_the_same_table;
