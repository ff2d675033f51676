"""The three documented rollbacks of the seed, and forward migrations written to match them."""

from __future__ import annotations

from typing import NamedTuple


class Migration(NamedTuple):
    """A forward migration, its rollback script, and how the seed rates undoing it."""

    version: str
    forward: str
    script: str
    risk: str


CONNECTIONS = Migration(
    "999",
    """
    ALTER SYSTEM SET max_connections = 500;
    ALTER SYSTEM SET shared_buffers = '8GB';
    ALTER SYSTEM SET work_mem = '16MB';
    ALTER SYSTEM SET maintenance_work_mem = '1GB';
    ALTER SYSTEM SET effective_cache_size = '24GB';
    SELECT pg_reload_conf();

    CREATE OR REPLACE VIEW connection_usage_by_database AS
        SELECT datname, count(*) AS connections FROM pg_stat_activity GROUP BY datname;
    CREATE VIEW connection_usage_by_application AS
        SELECT application_name, count(*) AS connections FROM pg_stat_activity GROUP BY application_name;
    CREATE OR REPLACE FUNCTION check_connection_threshold() RETURNS boolean LANGUAGE sql STABLE AS
        $$ SELECT count(*) < 450 FROM pg_stat_activity $$;
    COMMENT ON VIEW connection_usage_by_database IS 'who holds the connections';
    """,
    """
    BEGIN;

    ALTER SYSTEM SET max_connections = 200;
    ALTER SYSTEM SET shared_buffers = '2GB';
    ALTER SYSTEM SET work_mem = '4MB';
    ALTER SYSTEM SET maintenance_work_mem = '256MB';
    ALTER SYSTEM SET effective_cache_size = '6GB';

    SELECT pg_reload_conf();

    -- Drop monitoring views created by migration
    DROP VIEW IF EXISTS connection_usage_by_database CASCADE;
    DROP VIEW IF EXISTS connection_usage_by_application CASCADE;
    DROP FUNCTION IF EXISTS check_connection_threshold() CASCADE;

    DELETE FROM flyway_schema_history WHERE version = '999';

    COMMIT;
    """,
    "LOW",
)

# table, constraint, column, referenced table, referenced column, the forward migration's action
KEYS = (
    ("wallets", "fk_wallets_user", "user_id", "users", "id", "CASCADE"),
    ("verification_tokens", "fk_verification_tokens_user", "user_id", "users", "id", "CASCADE"),
    ("fund_reservations", "fk_fund_reservations_wallet", "wallet_id", "wallets", "id", "CASCADE"),
    ("saga_step_states", "fk_saga_step_states_saga", "saga_id", "saga_states", "saga_id", "CASCADE"),
    ("chart_of_accounts", "fk_chart_parent", "parent_account_id", "chart_of_accounts", "id", "CASCADE"),
    ("payments", "fk_payments_payment_method", "payment_method_id", "payment_methods", "id", "RESTRICT"),
    ("payments", "fk_payments_requestor_user", "requestor_id", "users", "id", "RESTRICT"),
    ("audit_events", "fk_audit_events_user", "user_id", "users", "id", "SET NULL"),
)  # fmt: skip


def _keys(action: str) -> str:
    parts = []
    for table, name, column, parent, key, on_delete in KEYS:
        parts.append(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name};")
        if table == "audit_events":
            parts.append(f"ALTER TABLE {table} ALTER COLUMN {column} {action} NOT NULL;")
        ending = f" ON DELETE {on_delete}" if action == "DROP" else ""
        parts.append(
            f"ALTER TABLE {table} ADD CONSTRAINT {name}\n"
            f"    FOREIGN KEY ({column}) REFERENCES {parent}({key}){ending};"
        )
    return "\n".join(parts)


FOREIGN_KEYS = Migration(
    "2025.11.22.001",
    _keys("DROP"),
    "BEGIN;\n"
    + _keys("SET")
    + "\nDELETE FROM flyway_schema_history WHERE version = '2025.11.22.001';\nCOMMIT;",
    "HIGH",
)

PARTITIONS = Migration(
    "001",
    """
    CREATE TABLE transactions (
        id bigint NOT NULL,
        wallet_id bigint NOT NULL,
        amount numeric(19, 4) NOT NULL,
        created_on date NOT NULL,
        PRIMARY KEY (id, created_on)
    ) PARTITION BY RANGE (created_on);
    CREATE TABLE transactions_2025_11 PARTITION OF transactions
        FOR VALUES FROM ('2025-11-01') TO ('2025-12-01');
    CREATE INDEX transactions_wallet ON transactions (wallet_id);
    CREATE FUNCTION create_monthly_partitions(parent text, first date, months integer) RETURNS void
    LANGUAGE plpgsql AS $$
    BEGIN
        FOR n IN 0 .. months - 1 LOOP
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                parent || '_' || n, parent, first + n, first + n + 1);
        END LOOP;
    END $$;
    """,
    """
    BEGIN;

    -- Backup data before dropping (CRITICAL!)
    CREATE TABLE transactions_backup_rollback AS
    SELECT * FROM transactions;

    -- Drop partitioned table and all partitions
    DROP TABLE IF EXISTS transactions CASCADE;

    -- Drop partition maintenance function
    DROP FUNCTION IF EXISTS create_monthly_partitions(TEXT, DATE, INTEGER) CASCADE;

    DELETE FROM flyway_schema_history WHERE version = '001';

    COMMIT;
    """,
    "CRITICAL",
)

SEED = (CONNECTIONS, FOREIGN_KEYS, PARTITIONS)
