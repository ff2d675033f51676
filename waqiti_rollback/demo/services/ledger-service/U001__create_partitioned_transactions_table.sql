-- Takes the partitioned table away. All transactions go with it; a copy stays in transactions_backup_rollback.
BEGIN;

CREATE TABLE transactions_backup_rollback AS
SELECT * FROM transactions;

DROP TABLE transactions;
DROP FUNCTION create_monthly_partitions(TEXT, DATE, INTEGER);

DELETE FROM flyway_schema_history WHERE version = '001';

COMMIT;
