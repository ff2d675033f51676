-- Transactions, in one partition a month so that old months can be put away.
CREATE TABLE transactions (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    account_id  integer       NOT NULL REFERENCES ledger_accounts (id),
    reference   varchar(40)   NOT NULL,
    amount      numeric(19,4) NOT NULL,
    created_at  timestamptz   NOT NULL DEFAULT now(),
    -- A unique key of a partitioned table must contain what it is partitioned by.
    CONSTRAINT transactions_pkey PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);

CREATE INDEX idx_transactions_account ON transactions (account_id, created_at);

CREATE FUNCTION create_monthly_partitions(parent TEXT, first_month DATE, months INTEGER) RETURNS INTEGER
LANGUAGE plpgsql AS $body$
DECLARE
    month date;
BEGIN
    FOR number IN 0 .. months - 1 LOOP
        month := date_trunc('month', first_month) + make_interval(months => number);
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                       parent || to_char(month, '_YYYY_MM'), parent, month, month + interval '1 month');
    END LOOP;
    RETURN months;
END
$body$;

SELECT create_monthly_partitions('transactions', DATE '2025-07-01', 6);
CREATE TABLE transactions_other PARTITION OF transactions DEFAULT;
