-- Links that people get by e-mail or text message to prove an address or a number.
CREATE TABLE verification_tokens (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id     uuid        NOT NULL,
    token_hash  char(32)    NOT NULL,
    purpose     varchar(24) NOT NULL,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz,
    CONSTRAINT verification_tokens_hash_key UNIQUE (token_hash),
    CONSTRAINT fk_verification_tokens_user FOREIGN KEY (user_id) REFERENCES users (id)
);
