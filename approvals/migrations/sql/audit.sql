-- The chain: its fixed first event, and a trigger that takes only the next good link. One bad link could never be
-- taken away again and would break the chain for good, so not even the portal's own roles can write one.

INSERT INTO approvals_auditevent (seq, body, prev, hash)
SELECT 0, body, prev, sha256('waqiti-audit/v1'::bytea || '\x00'::bytea || prev || convert_to(body, 'UTF8'))
  FROM (SELECT '{"action":"chain.began","actor":"portal","actor_name":"Waqiti Rollback",'
            || '"at":"1970-01-01T00:00:00.000000+00:00","chain":"portal","facts":{},"request_id":"",'
            || '"roles":[],"seq":0}' AS body,
               decode(repeat('00', 32), 'hex') AS prev) AS genesis;

CREATE FUNCTION waqiti_audit_link() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    head record;
BEGIN
    SELECT seq, hash INTO head FROM approvals_auditevent ORDER BY seq DESC LIMIT 1;
    IF NEW.seq IS DISTINCT FROM head.seq + 1 OR NEW.prev IS DISTINCT FROM head.hash THEN
        RAISE EXCEPTION 'event % does not follow the last one, %', NEW.seq, head.seq
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'audit_follows_the_head';
    END IF;
    IF NEW.hash IS DISTINCT FROM
       sha256('waqiti-audit/v1'::bytea || '\x00'::bytea || NEW.prev || convert_to(NEW.body, 'UTF8'))
       OR (NEW.body::jsonb ->> 'seq') IS DISTINCT FROM NEW.seq::text THEN
        RAISE EXCEPTION 'event % carries a wrong hash or number', NEW.seq
            USING ERRCODE = 'check_violation', CONSTRAINT = 'audit_hash_is_of_the_body';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_link BEFORE INSERT ON approvals_auditevent
    FOR EACH ROW EXECUTE FUNCTION waqiti_audit_link();
ALTER TABLE approvals_auditevent ENABLE ALWAYS TRIGGER audit_link;
