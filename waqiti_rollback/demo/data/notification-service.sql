-- Believable rows for notification-service: one device for each of demo.size people.
INSERT INTO devices (user_id, push_token, registered_at)
SELECT n, md5('device ' || n), timestamptz '2025-07-01 00:00+00' + n * interval '1 hour'
  FROM generate_series(1, current_setting('demo.size')::integer) AS n;
