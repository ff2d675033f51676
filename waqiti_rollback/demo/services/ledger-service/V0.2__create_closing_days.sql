-- Days on which the books were closed; nothing may be booked before the last of them.
CREATE TABLE closing_days (
    day        date PRIMARY KEY,
    closed_by  varchar(80) NOT NULL,
    closed_at  timestamptz NOT NULL DEFAULT now()
);
