-- The devices to which messages are pushed: one for each person.
CREATE TABLE devices (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id       bigint       NOT NULL,
    push_token    varchar(200) NOT NULL,
    registered_at timestamptz  NOT NULL DEFAULT now(),
    CONSTRAINT devices_user_key UNIQUE (user_id)
);
