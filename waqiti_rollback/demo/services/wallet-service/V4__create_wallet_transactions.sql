-- Every movement on a wallet, and money set aside for a payment that is under way.
CREATE TABLE wallet_transactions (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wallet_id   uuid          NOT NULL REFERENCES wallets (id),
    payment_id  uuid          REFERENCES payments (id),
    direction   char(1)       NOT NULL,
    amount      numeric(19,4) NOT NULL,
    booked_at   timestamptz   NOT NULL DEFAULT now(),
    CONSTRAINT wallet_transactions_direction_check CHECK (direction IN ('C', 'D'))
);

CREATE INDEX idx_wallet_transactions_wallet ON wallet_transactions (wallet_id);

CREATE TABLE fund_reservations (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    wallet_id   uuid          NOT NULL,
    amount      numeric(19,4) NOT NULL,
    reason      varchar(80)   NOT NULL,
    expires_at  timestamptz   NOT NULL,
    CONSTRAINT fk_fund_reservations_wallet FOREIGN KEY (wallet_id) REFERENCES wallets (id)
);
