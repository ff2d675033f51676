-- What finance looks at every morning.
CREATE OR REPLACE VIEW wallet_totals AS
SELECT currency, status, count(*) AS wallets, sum(balance) AS total
  FROM wallets
 GROUP BY currency, status;
