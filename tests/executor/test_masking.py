"""A clone from which nobody can be found: masked by name, by content and by a service's rules, with keys."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from approvals.masks import Masking, Method, Rule
from executor import backup
from executor.clone import KEPT, clones, copy_kept, drop_clone, make_kept
from executor.connect import Endpoint, connect
from executor.disposable import disposable
from executor.errors import CloneFailed
from executor.marker import EXECUTOR, Setup
from executor.masking import Filled, fill
from executor.restore import create_database
from tests.executor.target import OWNER, SCHEMA, Target

PEOPLE = """
    SET ROLE wallet_owner;
    DROP VIEW rich;
    DROP TABLE wallets, users;
    CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO public.changes VALUES (old.email); RETURN new; END $$;
    CREATE TABLE changes (what text);
    CREATE DOMAIN phone_text AS varchar(20) CHECK (value ~ '^[+0-9 ]+$');
    CREATE TABLE customers (
        email varchar(40) PRIMARY KEY CHECK (email LIKE '%@%.%'),
        first_name text NOT NULL, last_name varchar(30), initials text GENERATED ALWAYS AS (
            left(first_name, 1) || left(last_name, 1)) STORED,
        phone phone_text UNIQUE, card_number bigint, settled_into text, code text UNIQUE, reference text,
        about jsonb, nickname text, birth_date date, note text, email_verified boolean DEFAULT true,
        slug text NOT NULL DEFAULT gen_random_uuid() UNIQUE);
    CREATE TRIGGER noted BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION note_change();
    CREATE TABLE orders (id int, placed_by varchar(60) REFERENCES customers ON UPDATE CASCADE, sold_to text,
        day date NOT NULL) PARTITION BY RANGE (day);
    CREATE TABLE orders_2025 PARTITION OF orders FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE TABLE orders_2026 PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE MATERIALIZED VIEW mailing AS SELECT email, first_name FROM customers;
    INSERT INTO customers (email, first_name, last_name, phone, card_number, settled_into, code, reference,
                           about, nickname, birth_date, note)
    SELECT 'person.' || n || '@bank.example', (ARRAY['Amina', 'Grace', 'Joseph'])[n % 3 + 1], NULL,
           '+254 700 ' || lpad(n::text, 6, '0'), 4111111111111111, 'DE89370400440532013000', 'C-' || n,
           '4012 8888 8888 1881', jsonb_build_object('mail', 'person.' || n || '@bank.example'),
           'The ' || n, '1990-01-01', CASE n WHEN 7 THEN 'call a.b@c.example' ELSE 'paid' END
      FROM generate_series(1, 300) n;
    UPDATE customers SET last_name = 'Wanjiru' WHERE code < 'C-2';
    TRUNCATE changes;
    INSERT INTO orders SELECT n, 'person.' || n || '@bank.example', 'Grace Wanjiru', '2025-06-01'::date + n
      FROM generate_series(1, 300) n;
"""
# What may not be found anywhere in a masked copy.
SECRETS = (
    "@bank.example",
    "amina",
    "wanjiru",
    "254 700 000",
    "4111111111111111",
    "370400440532",
    "4012 8888",
)

Masked = Callable[..., tuple[psycopg.Connection[Any], Filled]]


@pytest.fixture
def masked(target: Target, staging: Endpoint, tmp_path: Path, leaves_no_clone: None) -> Iterator[Masked]:
    """A masked copy of the people, and what is said of it."""
    target.do(PEOPLE)
    made = backup.dump(target.backup, tmp_path, "people")
    with contextlib.ExitStack() as stack:

        def make(*rules: Rule, with_rows: bool = True) -> tuple[psycopg.Connection[Any], Filled]:
            kept, name = f"{KEPT}{secrets.token_hex(16)}", f"waqiti_rehearsal_{secrets.token_hex(16)}"
            setup = Setup(OWNER, kept)
            filled = make_kept(
                made.path, staging, kept, setup=setup, masking=Masking(tuple(rules), with_rows)
            )
            stack.callback(drop_clone, staging, kept)
            copy = copy_kept(staging, kept, name, owner_role=OWNER, guests=[EXECUTOR])
            stack.callback(drop_clone, staging, name)
            return stack.enter_context(contextlib.closing(connect(copy))), filled

        yield make


def everything(connection: psycopg.Connection[Any]) -> str:
    """All that its tables and statistics hold, in lower case."""
    tables = connection.execute(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'public'"
    ).fetchall()
    found = [str(connection.execute(f"TABLE {name}").fetchall()) for (name,) in tables]
    found.append(str(connection.execute("TABLE mailing").fetchall()))
    statistics = "SELECT most_common_vals::text, histogram_bounds::text FROM pg_stats"
    found.append(str(connection.execute(f"{statistics} WHERE schemaname = 'public'").fetchall()))
    return "\n".join(found).lower()


def value(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def said(filled: Filled) -> dict[str, tuple[str, str, int]]:
    return {
        each["column"].removeprefix("public."): (each["rule"], each["by"], each["values"])
        for each in filled.masked
    }


def test_people_are_masked_by_name_by_content_and_across_keys_and_nothing_of_them_stays(
    masked: Masked, target: Target
) -> None:
    erased = Rule("public.customers.about", Method.ERASE), Rule("*.customers.note", Method.SCRAMBLE)
    nobody = Rule("*.*.shoe_size", Method.ERASE)
    copy, filled = masked(*erased, nobody, Rule("*.customers.nick*", Method.KEEP))
    assert said(filled) == {
        "customers.email": ("e-mail", "name", 300),
        "customers.first_name": ("person's name", "name", 300),
        "customers.last_name": ("person's name", "name", 111),
        "customers.phone": ("phone number", "name", 300),
        "customers.card_number": ("card number", "name", 300),
        "customers.settled_into": ("IBAN", "content", 300),
        "customers.reference": ("card number", "content", 300),
        "customers.about": ("public.customers.about", "rule", 300),
        "customers.note": ("*.customers.note", "rule", 300),
        "orders.placed_by": ("e-mail", "content", 300),
        "orders.sold_to": ("person's name", "content", 300),
    }
    assert [each["column"] for each in filled.kept] == ["public.customers.nickname"]
    assert filled.unruled == [{"column": "public.customers.birth_date", "why": "its name"}]
    assert filled.unused == ["*.*.shoe_size"]
    found = everything(copy)
    assert [secret for secret in SECRETS if secret in found] == []
    # What held still holds: keys, joins, formats, NULLs, generated columns, what is computed from rows.
    assert value(copy, "SELECT count(*) FROM customers JOIN orders ON placed_by = email") == 300
    assert value(copy, "SELECT count(*) FROM mailing JOIN customers USING (email, first_name)") == 300
    assert value(copy, "SELECT count(DISTINCT first_name) FROM customers") == 3
    assert value(copy, "SELECT count(*) FROM customers WHERE last_name IS NULL") == 189
    assert value(copy, "SELECT bool_and(phone ~ '^\\+2[0-9]{2} [0-9]{3} [0-9]{6}$') FROM customers")
    assert value(
        copy, "SELECT bool_and(initials = left(first_name, 1) || left(last_name, 1)) FROM customers"
    ) in (True,)
    assert value(copy, "SELECT bool_and(email LIKE '%@masked.invalid') FROM customers")
    assert (
        value(copy, "SELECT count(DISTINCT card_number::text) FROM customers WHERE card_number > 9e15") == 1
    )
    assert value(copy, "SELECT count(*) FROM customers WHERE nickname = 'The 7'") == 1
    assert value(copy, "SELECT count(*) FROM changes") == 0  # no trigger fired
    assert value(copy, "SELECT tgenabled FROM pg_trigger WHERE tgname = 'noted'") == "O"
    keys = "SELECT count(*) FROM pg_constraint WHERE contype IN ('p', 'u', 'f') AND convalidated"
    assert value(copy, keys) == target.value(keys)
    assert target.value("SELECT count(*) FROM customers WHERE email LIKE 'person.%@bank.example'") == 300


def test_what_has_only_some_personal_data_is_named(masked: Masked) -> None:
    _copy, filled = masked()
    assert {each["column"]: each["why"] for each in filled.unruled} == {
        "public.customers.about": "e-mail in 300 of 300 values looked at",
        "public.customers.birth_date": "its name",
        "public.customers.note": "e-mail in 1 of 300 values looked at",
    }


def test_the_structure_alone_has_the_history_and_no_other_row(masked: Masked) -> None:
    copy, filled = masked(with_rows=False)
    assert not filled.with_rows
    assert value(copy, "SELECT count(*) FROM customers") == value(copy, "SELECT count(*) FROM mailing") == 0
    assert value(copy, "SELECT count(*) FROM flyway_schema_history") == 3


def test_a_rule_that_cannot_be_applied_leaves_no_clone(masked: Masked, staging: Endpoint) -> None:
    before = clones(staging, KEPT)
    both = Rule("*.customers.email", Method.EMAIL), Rule("*.orders.placed_by", Method.SCRAMBLE)
    cases: list[tuple[tuple[Rule, ...], str]] = [
        ((Rule("*.customers.email_verified", Method.EMAIL),), "of type boolean.*does not work"),
        ((Rule("*.orders.day", Method.ERASE),), "takes no NULL"),
        ((Rule("*.customers.email", Method.ERASE),), "violates check constraint"),
        (both, "disagree about columns that a foreign key holds together"),
        ((Rule("*.customers.slug", Method.ERASE),), r"keys of the copy could not be made\..*does not suit"),
    ]
    for rules, why in cases:
        with pytest.raises(CloneFailed, match=why) as caught:
            masked(*rules)
        assert "=(" not in str(caught.value)  # no key of any row
    assert clones(staging, KEPT) == before


def test_the_same_holds_on_postgresql_15(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = "/usr/lib/postgresql/15/bin"
    if not os.access(f"{programs}/postgres", os.X_OK):
        pytest.skip("PostgreSQL 15 is not here")
    monkeypatch.setenv("SERVER_BIN", programs)
    monkeypatch.setenv("PG_BIN", programs)
    with disposable("150000") as server:
        whole = Endpoint("127.0.0.1", server.port, "postgres", "postgres", server.password)
        with contextlib.closing(server.superuser()) as admin:
            admin.execute(f"CREATE ROLE {OWNER}")
        there, empty = (create_database(whole, name, owner=OWNER) for name in ("people", "empty"))
        with contextlib.closing(connect(there)) as connection:
            connection.execute(f"SET ROLE {OWNER}")
            connection.execute(SCHEMA)
            connection.execute(PEOPLE)
        made = backup.dump(there, tmp_path, "people")
        history = ("public", "flyway_schema_history")
        filled = fill(made.path, empty, role=OWNER, masking=Masking(), history=history)
        with contextlib.closing(connect(empty)) as connection:
            found = everything(connection)
            assert value(connection, "SELECT count(*) FROM customers JOIN orders ON placed_by = email") == 300
    assert [secret for secret in SECRETS if secret in found] == ["@bank.example"]  # in what is named
    assert len(filled.masked) == 10
