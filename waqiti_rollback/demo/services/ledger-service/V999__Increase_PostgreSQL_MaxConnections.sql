-- Room for more application instances, and two views that show who uses the connections.
ALTER SYSTEM SET max_connections = 200;
ALTER SYSTEM SET shared_buffers = '96MB';
ALTER SYSTEM SET work_mem = '8MB';
ALTER SYSTEM SET maintenance_work_mem = '128MB';
ALTER SYSTEM SET effective_cache_size = '6GB';

SELECT pg_reload_conf();

CREATE VIEW connection_usage_by_database AS
SELECT datname, count(*) AS connections, count(*) FILTER (WHERE state = 'active') AS active
  FROM pg_stat_activity
 WHERE datname IS NOT NULL
 GROUP BY datname;

CREATE VIEW connection_usage_by_application AS
SELECT application_name, count(*) AS connections, max(backend_start) AS newest
  FROM pg_stat_activity
 GROUP BY application_name;

CREATE FUNCTION check_connection_threshold() RETURNS boolean
LANGUAGE sql STABLE AS $body$
    SELECT count(*) < 0.8 * current_setting('max_connections')::integer FROM pg_stat_activity
$body$;
