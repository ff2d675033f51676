-- Monthly statements read a whole wallet by time.
CREATE INDEX idx_wallet_transactions_wallet_booked ON wallet_transactions (wallet_id, booked_at DESC);
