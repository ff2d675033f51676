-- Back to 100 connections and the memory settings from before. PostgreSQL refuses ALTER SYSTEM inside a
-- transaction, so each of these stands alone; max_connections and shared_buffers need a restart.
ALTER SYSTEM SET max_connections = 100;
ALTER SYSTEM SET shared_buffers = '64MB';
ALTER SYSTEM SET work_mem = '4MB';
ALTER SYSTEM SET maintenance_work_mem = '64MB';
ALTER SYSTEM SET effective_cache_size = '4GB';

SELECT pg_reload_conf();

DROP VIEW connection_usage_by_database;
DROP VIEW connection_usage_by_application;
DROP FUNCTION check_connection_threshold();

DELETE FROM flyway_schema_history WHERE version = '999';
