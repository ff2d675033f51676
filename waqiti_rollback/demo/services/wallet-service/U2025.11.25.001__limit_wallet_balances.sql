DROP INDEX idx_wallets_balance;
ALTER TABLE wallets DROP CONSTRAINT wallets_balance_limit;
