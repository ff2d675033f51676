-- Payments that span several services, and how far each of them got.
CREATE TABLE saga_states (
    saga_id     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    saga_type   varchar(40) NOT NULL,
    status      varchar(16) NOT NULL,
    payload     jsonb       NOT NULL DEFAULT '{}',
    started_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE saga_step_states (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    saga_id     uuid        NOT NULL,
    step_name   varchar(60) NOT NULL,
    status      varchar(16) NOT NULL,
    finished_at timestamptz,
    CONSTRAINT saga_step_states_name_key UNIQUE (saga_id, step_name),
    CONSTRAINT fk_saga_step_states_saga FOREIGN KEY (saga_id) REFERENCES saga_states (saga_id)
);
