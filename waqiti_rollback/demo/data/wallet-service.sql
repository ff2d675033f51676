-- Believable rows for wallet-service: demo.size people, each with a wallet, a payment and a booking or more.
-- Everything follows from the row's number, so two runs give the same rows.
WITH words AS (
    SELECT ARRAY['Amina','Bram','Chidi','Dunya','Emeka','Fatou','Grace','Hassan','Ines','Jonas','Kwame','Layla',
                 'Mina','Noor','Olu','Priya','Rafael','Sena','Tariq','Uma','Viktor','Wanja','Yusuf','Zola'] AS first,
           ARRAY['Adeyemi','Bakker','Cissé','Diallo','Eze','Fischer','Garba','Haddad','Ito','Jansen','Kamau','Lopes',
                 'Mensah','Ndiaye','Okafor','Patel','Rahman','Sow','Traoré','Umar','Vargas','Wolde','Yilmaz'] AS last
)
INSERT INTO users (id, email, full_name, status, created_at)
SELECT md5('user ' || n)::uuid, 'person' || n || '@mail.example', first[1 + n % 24] || ' ' || last[1 + n % 23],
       CASE WHEN n % 97 = 0 THEN 'LOCKED' WHEN n % 41 = 0 THEN 'CLOSED' ELSE 'ACTIVE' END,
       timestamptz '2024-01-05 08:00+00' + n * interval '17 minutes'
  FROM words, generate_series(1, current_setting('demo.size')::integer) AS n;

INSERT INTO wallets (id, user_id, currency, balance, status, updated_at)
SELECT md5('wallet ' || n)::uuid, md5('user ' || n)::uuid, (ARRAY['EUR','USD','NGN','KES','GHS'])[1 + n % 5],
       round((n::bigint * 791929 % 1250000) / 100.0, 2), CASE WHEN n % 113 = 0 THEN 'FROZEN' ELSE 'OPEN' END,
       timestamptz '2025-10-01 00:00+00' + n * interval '53 seconds'
  FROM generate_series(1, current_setting('demo.size')::integer) AS n;

INSERT INTO payment_methods (id, user_id, kind, last_digits, created_at)
SELECT md5('method ' || n)::uuid, md5('user ' || n)::uuid, (ARRAY['CARD','BANK','MOBILE'])[1 + n % 3],
       lpad((n * 37 % 10000)::text, 4, '0'), timestamptz '2024-02-01 00:00+00' + n * interval '19 minutes'
  FROM generate_series(1, current_setting('demo.size')::integer / 2) AS n;

INSERT INTO payments (id, requestor_id, payment_method_id, amount, currency, status, created_at)
SELECT md5('payment ' || n)::uuid, md5('user ' || n)::uuid,
       CASE WHEN n <= current_setting('demo.size')::integer / 2 THEN md5('method ' || n)::uuid END,
       round(1 + (n * 271 % 90000) / 100.0, 2), (ARRAY['EUR','USD','NGN','KES','GHS'])[1 + n % 5],
       (ARRAY['SETTLED','SETTLED','SETTLED','PENDING','REFUSED'])[1 + n % 5],
       timestamptz '2025-07-01 00:00+00' + n * interval '4 minutes'
  FROM generate_series(1, current_setting('demo.size')::integer) AS n;

INSERT INTO wallet_transactions (wallet_id, payment_id, direction, amount, booked_at)
SELECT md5('wallet ' || n)::uuid, md5('payment ' || n)::uuid, CASE WHEN n % 3 = 0 THEN 'D' ELSE 'C' END,
       round(1 + (n * 271 % 90000) / 100.0, 2), timestamptz '2025-07-01 00:01+00' + n * interval '4 minutes'
  FROM generate_series(1, current_setting('demo.size')::integer) AS n;

INSERT INTO verification_tokens (user_id, token_hash, purpose, expires_at, used_at)
SELECT md5('user ' || n)::uuid, md5('token ' || n), (ARRAY['EMAIL','PHONE'])[1 + n % 2], moment + interval '1 day',
       CASE WHEN n % 7 > 0 THEN moment + interval '9 minutes' END
  FROM generate_series(1, current_setting('demo.size')::integer / 10) AS n,
       LATERAL (SELECT timestamptz '2025-11-01 00:00+00' + n * interval '3 minutes') AS at (moment);

INSERT INTO fund_reservations (id, wallet_id, amount, reason, expires_at)
SELECT md5('reservation ' || n)::uuid, md5('wallet ' || n)::uuid, round(5 + n % 200, 2), 'payment under way',
       timestamptz '2025-11-28 00:00+00' + n * interval '1 minute'
  FROM generate_series(1, current_setting('demo.size')::integer / 50) AS n;

INSERT INTO saga_states (saga_id, saga_type, status, payload, started_at)
SELECT md5('saga ' || n)::uuid, (ARRAY['TOP_UP','TRANSFER','REFUND'])[1 + n % 3],
       CASE WHEN n % 29 = 0 THEN 'COMPENSATED' ELSE 'COMPLETED' END, jsonb_build_object('payment', n),
       timestamptz '2025-11-01 00:00+00' + n * interval '11 minutes'
  FROM generate_series(1, current_setting('demo.size')::integer / 20) AS n;

INSERT INTO saga_step_states (saga_id, step_name, status, finished_at)
SELECT md5('saga ' || n)::uuid, step, 'DONE', timestamptz '2025-11-01 00:00+00' + n * interval '11 minutes'
  FROM generate_series(1, current_setting('demo.size')::integer / 20) AS n,
       unnest(ARRAY['reserve', 'charge', 'book']) AS step;

INSERT INTO chart_of_accounts (code, name, account_type)
SELECT kind || '000', initcap(name), name
  FROM unnest(ARRAY['ASSET','LIABILITY','EQUITY','INCOME','EXPENSE']) WITH ORDINALITY AS type (name, kind);
INSERT INTO chart_of_accounts (code, name, account_type, parent_account_id)
SELECT left(code, 1) || lpad(n::text, 3, '0'), name || ' ' || n, account_type, id
  FROM chart_of_accounts, generate_series(1, 12) AS n;

INSERT INTO audit_events (user_id, action, details, happened_at)
SELECT md5('user ' || n)::uuid, (ARRAY['SIGN_IN','TOP_UP','TRANSFER','PROFILE_CHANGED'])[1 + n % 4],
       jsonb_build_object('address', '10.0.' || n % 250 || '.' || n % 97),
       timestamptz '2025-11-01 00:00+00' + n * interval '5 minutes'
  FROM generate_series(1, current_setting('demo.size')::integer / 5) AS n;
