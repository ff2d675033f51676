-- Takes the partitioned table away. All transactions go with it; a copy stays in the archive.
BEGIN;

CREATE SCHEMA IF NOT EXISTS rollback_archive;
CREATE TABLE rollback_archive.transactions_before_001 AS
SELECT * FROM transactions;

DROP TABLE transactions;
DROP FUNCTION create_monthly_partitions(TEXT, DATE, INTEGER);

DELETE FROM flyway_schema_history WHERE version = '001';

COMMIT;
