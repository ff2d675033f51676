-- An amount is never negative; the direction says which way money went.
ALTER TABLE wallet_transactions ADD CONSTRAINT wallet_transactions_amount_check CHECK (amount > 0);
ALTER TABLE payments ADD CONSTRAINT payments_amount_check CHECK (amount > 0);
