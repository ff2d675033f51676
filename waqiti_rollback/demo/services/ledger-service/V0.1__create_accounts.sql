-- The accounts of the general ledger.
CREATE TABLE ledger_accounts (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code       varchar(20)  NOT NULL,
    name       varchar(120) NOT NULL,
    currency   char(3)      NOT NULL,
    opened_on  date         NOT NULL DEFAULT current_date,
    CONSTRAINT ledger_accounts_code_key UNIQUE (code)
);
