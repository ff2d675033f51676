-- People and their wallets: one wallet per person and currency.
CREATE TABLE users (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email       varchar(255) NOT NULL,
    full_name   varchar(120) NOT NULL,
    status      varchar(16)  NOT NULL DEFAULT 'ACTIVE',
    created_at  timestamptz  NOT NULL DEFAULT now(),
    CONSTRAINT users_email_key UNIQUE (email)
);

CREATE TABLE wallets (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id     uuid          NOT NULL,
    currency    char(3)       NOT NULL,
    balance     numeric(19,4) NOT NULL DEFAULT 0,
    status      varchar(16)   NOT NULL DEFAULT 'OPEN',
    updated_at  timestamptz   NOT NULL DEFAULT now(),
    CONSTRAINT wallets_user_currency_key UNIQUE (user_id, currency),
    CONSTRAINT fk_wallets_user FOREIGN KEY (user_id) REFERENCES users (id)
);

COMMENT ON COLUMN wallets.balance IS 'Sum of the wallet''s transactions; kept by the application.';
