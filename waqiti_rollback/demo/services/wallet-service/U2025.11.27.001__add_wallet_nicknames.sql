ALTER TABLE wallets DROP COLUMN nickname;
