-- No wallet may hold more than 10,000. Existing rows are left alone.
ALTER TABLE wallets ADD CONSTRAINT wallets_balance_limit CHECK (balance <= 10000) NOT VALID;
CREATE INDEX idx_wallets_balance ON wallets (balance);
