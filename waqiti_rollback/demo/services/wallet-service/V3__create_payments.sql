-- How people pay, and what they paid.
CREATE TABLE payment_methods (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id     uuid        NOT NULL REFERENCES users (id),
    kind        varchar(16) NOT NULL,
    last_digits char(4)     NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE payments (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    requestor_id       uuid          NOT NULL,
    payment_method_id  uuid,
    amount             numeric(19,4) NOT NULL,
    currency           char(3)       NOT NULL,
    status             varchar(16)   NOT NULL,
    created_at         timestamptz   NOT NULL DEFAULT now(),
    CONSTRAINT fk_payments_requestor_user FOREIGN KEY (requestor_id) REFERENCES users (id),
    CONSTRAINT fk_payments_payment_method FOREIGN KEY (payment_method_id) REFERENCES payment_methods (id)
);

CREATE INDEX idx_payments_requestor ON payments (requestor_id, created_at);
