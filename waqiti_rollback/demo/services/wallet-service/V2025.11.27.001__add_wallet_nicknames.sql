-- People may name their wallets.
ALTER TABLE wallets ADD COLUMN nickname varchar(40);
