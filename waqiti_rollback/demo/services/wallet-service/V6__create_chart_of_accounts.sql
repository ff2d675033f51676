-- The accounts that wallet movements are booked on; a tree.
CREATE TABLE chart_of_accounts (
    id                integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code              varchar(20)  NOT NULL,
    name              varchar(120) NOT NULL,
    account_type      varchar(16)  NOT NULL,
    parent_account_id integer,
    CONSTRAINT chart_of_accounts_code_key UNIQUE (code),
    CONSTRAINT fk_chart_of_accounts_parent FOREIGN KEY (parent_account_id) REFERENCES chart_of_accounts (id)
);
