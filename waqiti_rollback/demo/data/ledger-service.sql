-- Believable rows for ledger-service: demo.size transactions on twenty accounts.
INSERT INTO ledger_accounts (code, name, currency, opened_on)
SELECT 'L' || lpad(n::text, 4, '0'), 'Settlement ' || n, (ARRAY['EUR','USD','NGN','KES','GHS'])[1 + n % 5], '2024-01-02'
  FROM generate_series(1, 20) AS n;

INSERT INTO closing_days (day, closed_by, closed_at)
SELECT day::date, 'month-end job', day + interval '1 day 4 hours'
  FROM generate_series(timestamptz '2025-06-30 00:00+00', '2025-10-31 00:00+00', '1 month') AS day;

INSERT INTO transactions (account_id, reference, amount, created_at)
SELECT 1 + n % 20, 'TX-' || lpad(n::text, 8, '0'), round(((n * 7919) % 2000000 - 1000000) / 100.0, 2),
       timestamptz '2025-07-01 00:00+00' + n * (interval '146 days' / current_setting('demo.size')::integer)
  FROM generate_series(1, current_setting('demo.size')::integer) AS n;
