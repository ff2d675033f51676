-- Who did what in the application.
CREATE TABLE audit_events (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id     uuid        NOT NULL,
    action      varchar(60) NOT NULL,
    details     jsonb       NOT NULL DEFAULT '{}',
    happened_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT fk_audit_events_user FOREIGN KEY (user_id) REFERENCES users (id)
);
