"""Migrations with what must come of undoing them: data for the tests of every family of objects."""

from __future__ import annotations

from dataclasses import dataclass

EXACT, ORDER = "exact", "exact modulo column order"


@dataclass(frozen=True)
class Case:
    """`prior` makes the schema of before, `forward` is the migration; `has` are lines that the script must
    contain, `has_not` what it must not; `loses` is in the announced losses."""

    name: str
    prior: str
    forward: str
    has: tuple[str, ...] = ()
    has_not: tuple[str, ...] = (" CASCADE",)
    loses: tuple[str, ...] = ()
    verdict: str = EXACT
    cheap: str | None = None


WALLETS = """
    CREATE TABLE wallets (id bigint PRIMARY KEY, owner text NOT NULL, note text, balance numeric NOT NULL
    DEFAULT 0);
    INSERT INTO wallets (id, owner, note, balance) VALUES (1, 'ada', 'x', 10), (2, 'bob', NULL, 20);
"""

CARRIED = "SELECT pg_catalog.setval('public.t_id_seq', last_value, is_called) FROM public.t_id_seq__rollback;"

CASES = (
    Case(
        "a table that was created",
        "",
        "CREATE TABLE t (id serial PRIMARY KEY, x int UNIQUE)",
        has=("DROP TABLE public.t;",),
        has_not=("DROP SEQUENCE", "DROP CONSTRAINT", "DROP INDEX", "CASCADE"),
        loses=("table public.t with all its rows",),
    ),
    Case(
        "a table that was dropped",
        WALLETS + "CREATE INDEX ON wallets (owner); COMMENT ON TABLE wallets IS 'money'",
        "DROP TABLE wallets",
        has=("COMMENT ON TABLE public.wallets IS 'money';",),
    ),
    Case(
        "a column that was added",
        WALLETS,
        "ALTER TABLE wallets ADD COLUMN currency text NOT NULL DEFAULT 'EUR'",
        has=("ALTER TABLE public.wallets DROP COLUMN currency;",),
        loses=("the values of column public.wallets.currency",),
    ),
    Case(
        "a middle column that was dropped",
        WALLETS,
        "ALTER TABLE wallets DROP COLUMN note",
        has=("OVERRIDING SYSTEM VALUE",),
        cheap=ORDER,
    ),
    Case(
        "last columns that were dropped come back in their order",
        "CREATE TABLE t (a int, z int, c int, b int)",
        "ALTER TABLE t DROP COLUMN z, DROP COLUMN c, DROP COLUMN b, ADD COLUMN n int",
    ),
    Case(
        "tables that hold each other",
        "",
        """CREATE TABLE a (x int PRIMARY KEY, y int); CREATE TABLE b (y int PRIMARY KEY, x int REFERENCES a);
           ALTER TABLE a ADD FOREIGN KEY (y) REFERENCES b; CREATE TABLE c (x int REFERENCES a)""",
        has=("ALTER TABLE public.a DROP CONSTRAINT a_y_fkey;", "DROP TABLE public.c;"),
        has_not=("c_x_fkey", "CASCADE"),
    ),
    Case(
        "conditions on lists of varchar, which the server writes in a way it would read differently",
        """CREATE TABLE t (a varchar(9) CONSTRAINT c CHECK (a IN ('x', 'it''s')), b int);
           CREATE VIEW v AS SELECT b FROM t WHERE a NOT IN ('x', 'y');
           CREATE INDEX i ON t (b) WHERE a IN ('x', 'y')""",
        "DROP VIEW v; DROP TABLE t",
    ),
    Case(
        "names that were swapped",
        WALLETS + "CREATE TABLE w2 (x int); INSERT INTO w2 VALUES (7)",
        "ALTER TABLE wallets RENAME TO w3; ALTER TABLE w2 RENAME TO wallets; ALTER TABLE w3 RENAME TO w2",
        has_not=("DROP TABLE",),
    ),
    Case(
        "a table moved to a new schema under a name that is taken in the old one",
        "CREATE TABLE a (x int PRIMARY KEY); CREATE TABLE b (y int REFERENCES a); CREATE INDEX i1 ON a (x)",
        """ALTER TABLE a RENAME TO t; ALTER TABLE b RENAME TO a; ALTER TABLE t RENAME TO b;
           ALTER TABLE b RENAME x TO z; ALTER INDEX i1 RENAME TO i2; CREATE SCHEMA s; ALTER TABLE b SET
           SCHEMA s""",
        has_not=("DROP TABLE",),
    ),
    Case(
        "a table moved to another schema, with an index whose name is taken again",
        "CREATE TABLE a (x int, id serial); CREATE INDEX i1 ON a(x); CREATE TABLE b (y int); CREATE SCHEMA s",
        "ALTER TABLE a SET SCHEMA s; CREATE INDEX i1 ON b (y); CREATE SEQUENCE a_id_seq",
        has_not=("DROP TABLE",),
    ),
    Case(
        "an enum value that was added, with arrays, defaults, functions and views in the way",
        """CREATE TYPE e AS ENUM ('a', 'b');
           CREATE TABLE t (x e DEFAULT 'a', y e[] DEFAULT ARRAY['a']::e[]);
           INSERT INTO t VALUES ('a', '{b}');
           CREATE INDEX ON t (x) WHERE x = 'a'; CREATE VIEW v AS SELECT * FROM t;
           CREATE FUNCTION g(e) RETURNS e LANGUAGE sql AS 'SELECT $1'""",
        "ALTER TYPE e ADD VALUE 'c'",
        has=("ALTER TABLE public.t ALTER COLUMN y TYPE public.e[] USING y::text[]::public.e[];",),
    ),
    Case(
        "an enum label that was renamed",
        "CREATE TYPE e AS ENUM ('a', 'b'); CREATE TABLE t (x e)",
        "ALTER TYPE e RENAME VALUE 'a' TO 'A'",
        has=("ALTER TYPE public.e RENAME VALUE 'A' TO 'a';",),
        has_not=("CREATE TYPE",),
    ),
    Case(
        "a column that got another type below a view, a check and a generated column",
        """CREATE TABLE t (a int, g int GENERATED ALWAYS AS (a + 1) STORED, CONSTRAINT c CHECK (a > 0));
           CREATE VIEW v AS SELECT a FROM t; INSERT INTO t VALUES (5)""",
        """DROP VIEW v; ALTER TABLE t DROP COLUMN g; ALTER TABLE t ALTER a TYPE bigint;
           CREATE VIEW v AS SELECT a FROM t""",
        has=("ALTER TABLE public.t ALTER COLUMN a TYPE integer;",),
    ),
    Case(
        "serial that became identity keeps its position",
        "CREATE TABLE t (id serial PRIMARY KEY); INSERT INTO t DEFAULT VALUES",
        """ALTER TABLE t ALTER id DROP DEFAULT; DROP SEQUENCE t_id_seq;
           ALTER TABLE t ALTER id ADD GENERATED ALWAYS AS IDENTITY""",
        has=(CARRIED,),
    ),
    Case(
        "identity that became serial keeps its position",
        "CREATE TABLE t (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY); INSERT INTO t DEFAULT VALUES",
        """ALTER TABLE t ALTER id DROP IDENTITY; CREATE SEQUENCE t_id_seq AS int OWNED BY t.id;
           ALTER TABLE t ALTER id SET DEFAULT nextval('t_id_seq')""",
        has=(CARRIED,),
    ),
    Case(
        "a foreign key that got another action",
        WALLETS + "CREATE TABLE p (w bigint CONSTRAINT fk REFERENCES wallets)",
        """ALTER TABLE p DROP CONSTRAINT fk;
           ALTER TABLE p ADD CONSTRAINT fk FOREIGN KEY (w) REFERENCES wallets ON DELETE CASCADE""",
        has=("ALTER TABLE public.p ADD CONSTRAINT fk FOREIGN KEY (w) REFERENCES public.wallets(id);",),
    ),
    Case(
        "a partitioned table that lost a key and won a partition",
        """CREATE TABLE t (a int, b text) PARTITION BY RANGE (a);
           CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);
           CREATE INDEX ON t (b); ALTER TABLE t ADD PRIMARY KEY (a)""",
        """CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20);
           ALTER TABLE t DROP CONSTRAINT t_pkey; DROP INDEX t_b_idx; ALTER TABLE t ADD c int""",
        loses=("table public.t2 with all its rows",),
    ),
    Case(
        "columns of a partitioned table that swapped names",
        """CREATE TABLE t (a int, b text, c text) PARTITION BY RANGE (a);
           CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10)""",
        "ALTER TABLE t RENAME b TO x; ALTER TABLE t RENAME c TO b; ALTER TABLE t RENAME x TO c",
        has_not=("DROP COLUMN", "TABLE public.t1"),
    ),
    Case(
        "a partitioned table that was dropped",
        """CREATE TABLE t (a int, b text) PARTITION BY RANGE (a);
           CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10); CREATE INDEX ON t (b)""",
        "DROP TABLE t",
        has=("ATTACH PARTITION public.t1 FOR VALUES FROM (0) TO (10);",),
    ),
    Case(
        "a function whose result changed, below a trigger, a default and an index",
        """CREATE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
           CREATE TABLE t (a int DEFAULT f(1)); CREATE INDEX i ON t (f(a))""",
        """DROP INDEX i; ALTER TABLE t ALTER a DROP DEFAULT; DROP FUNCTION f;
           CREATE FUNCTION f(int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1::bigint';
           ALTER TABLE t ALTER a SET DEFAULT f(2); CREATE INDEX i ON t (f(a))""",
    ),
    Case(
        "a table in front of a view that groups by its key",
        """CREATE TABLE t (a int, b text, id int PRIMARY KEY, c text); CREATE VIEW v AS
           SELECT id, c, count(*) FROM t GROUP BY id; CREATE VIEW w AS SELECT * FROM v;
           GRANT SELECT ON v TO PUBLIC; INSERT INTO t VALUES (1, 'x', 1, 'y')""",
        "ALTER TABLE t DROP COLUMN b",
        cheap=ORDER,
    ),
    Case(
        "a view that others read",
        """CREATE TABLE t (a int, b int); CREATE VIEW v AS SELECT a FROM t; CREATE VIEW w AS SELECT a FROM v;
           CREATE MATERIALIZED VIEW m AS SELECT a FROM w; CREATE UNIQUE INDEX ON m (a)""",
        "CREATE OR REPLACE VIEW v AS SELECT a, b FROM t",
    ),
    Case(
        "grants, owners and default privileges",
        """CREATE TABLE t (a int, b int); GRANT SELECT, INSERT ON t TO inverse_r1 WITH GRANT OPTION;
           GRANT UPDATE (a) ON t TO inverse_r2; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
           REVOKE EXECUTE ON FUNCTION f FROM PUBLIC; ALTER TABLE t OWNER TO inverse_r2;
           ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO inverse_r1""",
        """DROP TABLE t; DROP FUNCTION f; CREATE TABLE t (a int);
           ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM inverse_r1""",
        has=("ALTER TABLE public.t OWNER TO inverse_r2;",),
    ),
    Case(
        "row-level security",
        """CREATE TABLE t (a text); ALTER TABLE t ENABLE ROW LEVEL SECURITY;
           CREATE POLICY p ON t USING (a = 'x')""",
        """DROP POLICY p ON t; ALTER TABLE t FORCE ROW LEVEL SECURITY;
           CREATE POLICY q ON t FOR SELECT USING (true)""",
    ),
    Case(
        "the name of a NOT NULL constraint",
        "CREATE TABLE t (a int NOT NULL, b int)",
        "ALTER TABLE t RENAME a TO c",
        has=("ALTER TABLE public.t RENAME COLUMN c TO a;",),
    ),
    Case(
        "states: a disabled trigger, replica identity, clustering, storage",
        """CREATE TABLE t (a int PRIMARY KEY, b text); ALTER TABLE t REPLICA IDENTITY FULL; ALTER TABLE t
        CLUSTER ON t_pkey;
           CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
           CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE t DISABLE
           TRIGGER g""",
        """ALTER TABLE t ENABLE TRIGGER g; ALTER TABLE t REPLICA IDENTITY DEFAULT; ALTER TABLE t SET
        WITHOUT CLUSTER;
           ALTER TABLE t SET (fillfactor = 50); ALTER TABLE t ALTER b SET STORAGE EXTERNAL;
           ALTER TABLE t ALTER b SET STATISTICS 10""",
    ),
    Case(
        "a table that was replaced by a view",
        WALLETS,
        "ALTER TABLE wallets RENAME TO wallets_old; CREATE VIEW wallets AS SELECT id, owner FROM wallets_old",
        has_not=("DROP TABLE", "CASCADE"),
    ),
    Case(
        "an attribute that a composite type in use has won, another that it lost",
        """CREATE TYPE c AS (a int, "b c" text, d int); CREATE TABLE t (x c); INSERT INTO t VALUES (row(1,
        'z', 2))""",
        'ALTER TYPE c DROP ATTRIBUTE d; ALTER TYPE c ADD ATTRIBUTE "e "" f" int',
        has_not=("CREATE TYPE",),
    ),
    Case(
        "kinds that are rare",
        """CREATE FUNCTION plus(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
           CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = plus);
           CREATE AGGREGATE agg(int) (SFUNC = plus, STYPE = int, INITCOND = '0');
           CREATE CAST (text AS point) WITH INOUT; COMMENT ON CAST (text AS point) IS 'y';
           CREATE COLLATION coll FROM "C"; CREATE TEXT SEARCH CONFIGURATION tsc (COPY = simple);
           CREATE TEXT SEARCH DICTIONARY tsd (TEMPLATE = simple, STOPWORDS = english);
           CREATE TYPE rng AS RANGE (SUBTYPE = float8); CREATE TYPE comp AS (a int, b text);
           CREATE DOMAIN dm AS int DEFAULT 3 NOT NULL CONSTRAINT pos CHECK (VALUE > 0);
           CREATE TABLE t (a int PRIMARY KEY, b int); CREATE STATISTICS st ON a, b FROM t;
           CREATE PUBLICATION pub FOR TABLE t; CREATE SEQUENCE sq AS smallint INCREMENT 5 CYCLE CACHE 3;
           CREATE FUNCTION evt() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
           CREATE EVENT TRIGGER et ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION evt();
           ALTER EVENT TRIGGER et DISABLE; CREATE RULE rr AS ON INSERT TO t DO ALSO NOTHING;
           CREATE FOREIGN DATA WRAPPER fw; CREATE SERVER sv FOREIGN DATA WRAPPER fw OPTIONS (a 'b');
           CREATE USER MAPPING FOR PUBLIC SERVER sv OPTIONS (u 'x');
           CREATE FOREIGN TABLE ft (a int OPTIONS (c 'd') NOT NULL) SERVER sv OPTIONS (x 'y')""",
        """DROP EVENT TRIGGER et; DROP FUNCTION evt; DROP PUBLICATION pub; DROP TABLE t; DROP FOREIGN TABLE
        ft;
           DROP SERVER sv CASCADE; DROP FOREIGN DATA WRAPPER fw; DROP SEQUENCE sq; DROP DOMAIN dm; DROP
           TYPE comp;
           DROP TYPE rng; DROP TEXT SEARCH DICTIONARY tsd; DROP TEXT SEARCH CONFIGURATION tsc; DROP
           COLLATION coll;
           DROP CAST (text AS point); DROP AGGREGATE agg(int); DROP OPERATOR ### (int, int); DROP FUNCTION
           plus""",
    ),
    Case(
        "a table that moved to another schema while another took its name and those of its keys",
        """CREATE SCHEMA s; CREATE TABLE b (id int PRIMARY KEY, y int UNIQUE);
           CREATE TABLE a (id serial PRIMARY KEY, y int UNIQUE)""",
        "ALTER TABLE a SET SCHEMA s; CREATE TABLE a (id serial PRIMARY KEY, y int UNIQUE REFERENCES s.a)",
        has=("ALTER TABLE s.a SET SCHEMA public;",),
    ),
    Case(
        "a table that moved to another schema while another took the name of its identity's sequence",
        "CREATE SCHEMA s; CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY)",
        "ALTER TABLE a SET SCHEMA s; CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY)",
        has=("ALTER SEQUENCE public.a_id_seq RENAME TO a_id_seq__rollback;",),
    ),
    Case(
        "a partitioned table with keys, indexes and rows that others refer to, and that lost a middle column",
        """CREATE TABLE f (k int PRIMARY KEY); INSERT INTO f VALUES (1);
           CREATE TABLE p (id int REFERENCES f, a text, d int, b text, PRIMARY KEY (id, d))
           PARTITION BY LIST (d);
           CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
           CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2) PARTITION BY LIST (id);
           CREATE TABLE p21 PARTITION OF p2 FOR VALUES IN (1); CREATE TABLE pd PARTITION OF p DEFAULT;
           CREATE INDEX ON p (b); CREATE INDEX ON p1 (id); CREATE VIEW v AS SELECT id, b FROM p;
           CREATE TABLE r (id int, d int, FOREIGN KEY (id, d) REFERENCES p);
           INSERT INTO p VALUES (1, 'x', 1, 'y'), (1, 'x', 2, 'y'), (1, 'x', 3, 'y');
           INSERT INTO r SELECT id, d FROM p WHERE d > 1""",
        """ALTER TABLE p DROP COLUMN a; CREATE TABLE p8 PARTITION OF p FOR VALUES IN (8);
           ALTER TABLE p DETACH PARTITION p1; ALTER TABLE p ATTACH PARTITION p1 FOR VALUES IN (1, 9)""",
        has=("FROM public.p21__rollback;", "DROP TABLE public.p__rollback;"),
        loses=("table public.p8 with all its rows",),
        cheap=ORDER,
    ),
    Case(
        "a table that was made a partitioned one",
        """CREATE TABLE t (id bigserial PRIMARY KEY, d int NOT NULL, x text); CREATE INDEX ON t (x);
           INSERT INTO t (d) VALUES (1), (2)""",
        """ALTER TABLE t RENAME TO t_old;
           CREATE TABLE t (id bigint NOT NULL DEFAULT nextval('t_id_seq'), d int NOT NULL, x text, y int,
           PRIMARY KEY (id, d)) PARTITION BY LIST (d); CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1);
           CREATE TABLE td PARTITION OF t DEFAULT; INSERT INTO t SELECT * FROM t_old;
           ALTER SEQUENCE t_id_seq OWNED BY t.id; DROP TABLE t_old; CREATE INDEX ON t (x)""",
        has=("FROM public.t__rollback;",),
        loses=("the values of column public.t.y",),
    ),
    Case(
        "a partitioned table that was made a plain one",
        """CREATE TABLE t (id bigint, d date NOT NULL, x text, PRIMARY KEY (id, d)) PARTITION BY RANGE (d);
           CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
           CREATE TABLE t2 PARTITION OF t FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
           CREATE INDEX ON t (x); CREATE TABLE k (id bigint, d date, FOREIGN KEY (id, d) REFERENCES t);
           INSERT INTO t VALUES (1, '2024-02-02', 'a'), (2, '2025-02-02', 'b');
           INSERT INTO k VALUES (1, '2024-02-02'); CREATE VIEW v AS SELECT x FROM t;
           CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''seen''; END';
           CREATE TRIGGER no BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION no()""",
        """DROP VIEW v; ALTER TABLE k DROP CONSTRAINT k_id_d_fkey;
           CREATE TABLE n (id bigint, d date NOT NULL, x text, PRIMARY KEY (id, d));
           INSERT INTO n SELECT * FROM t;
           DROP TABLE t; ALTER TABLE n RENAME TO t; CREATE INDEX ON t (x);
           ALTER TABLE k ADD FOREIGN KEY (id, d) REFERENCES t; CREATE VIEW v AS SELECT x FROM t""",
        has=("INSERT INTO public.t (id, d, x)", "FROM public.t__rollback;"),
    ),
    Case(
        "a partitioned table with another key, whose partitions have the names of former ones",
        """CREATE TABLE t (id bigint NOT NULL, d int NOT NULL, x text) PARTITION BY LIST (d);
           CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1);
           CREATE TABLE t2 PARTITION OF t FOR VALUES IN (2) PARTITION BY RANGE (id);
           CREATE TABLE t21 PARTITION OF t2 FOR VALUES FROM (0) TO (100); CREATE INDEX ON t (x);
           INSERT INTO t VALUES (7, 1, 'a'), (8, 2, 'b')""",
        """CREATE TABLE n (id bigint NOT NULL, d int NOT NULL, x text, y int) PARTITION BY HASH (id);
           CREATE TABLE n1 PARTITION OF n FOR VALUES WITH (MODULUS 2, REMAINDER 0);
           CREATE TABLE n2 PARTITION OF n FOR VALUES WITH (MODULUS 2, REMAINDER 1);
           INSERT INTO n SELECT * FROM t;
           DROP TABLE t; ALTER TABLE n RENAME TO t; ALTER TABLE n1 RENAME TO t1; CREATE INDEX ON t (x)""",
        loses=("the values of column public.t.y",),
    ),
    Case(
        "a table whose rows are a column elsewhere that lost a middle column",
        """CREATE TABLE t (a int, b text, c int); CREATE TABLE u (id int PRIMARY KEY, was t, n int);
           CREATE VIEW v AS SELECT id, (was).c FROM u; CREATE INDEX ON u (((was).a));
           INSERT INTO u VALUES (1, ROW(1, 'x', 2)), (2, NULL), (3, ROW(NULL, NULL, NULL))""",
        "ALTER TABLE t DROP COLUMN b",
        has=("ROW((was).a, NULL, (was).c)::public.t END",),
        cheap=ORDER,
    ),
    Case(
        "a composite type that lost one attribute and won another",
        """CREATE TYPE c AS (a text, b text); CREATE TABLE u (x c, y int);
           INSERT INTO u VALUES (ROW('1', '2')::c, 3)""",
        "ALTER TYPE c DROP ATTRIBUTE a, ADD ATTRIBUTE z text",
        has=("ROW(NULL, (x).b)::public.c",),
        loses=("values of column public.u.x that public.c can't hold as they are",),
    ),
    Case(
        "a composite type with a renamed attribute",
        "CREATE TYPE c AS (a text, b text); CREATE TABLE u (x c); INSERT INTO u VALUES (ROW('1', '2')::c)",
        "ALTER TYPE c RENAME ATTRIBUTE b TO z",
        has=("ALTER TYPE public.c RENAME ATTRIBUTE z TO b;",),
    ),
    Case(
        "a table that became the partition of one that took its name",
        "CREATE TABLE t (d int NOT NULL, x text); INSERT INTO t VALUES (1)",
        """ALTER TABLE t RENAME TO t1; CREATE TABLE t (d int NOT NULL, x text) PARTITION BY LIST (d);
           ALTER TABLE t ATTACH PARTITION t1 FOR VALUES IN (1); CREATE TABLE t2 PARTITION OF t DEFAULT""",
        loses=("table public.t with all its rows",),
    ),
    Case(
        "a partitioned table with an identity that lost a middle column",
        """CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, a int, d int) PARTITION BY LIST (d);
           CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1)""",
        "ALTER TABLE t DROP COLUMN a",
        cheap=ORDER,
    ),
    Case(
        "parents that a table got and lost",
        """CREATE TABLE g (a int, CONSTRAINT k CHECK (a > 0)); CREATE TABLE h (b int); CREATE TABLE i (b int);
           CREATE TABLE c (a int, b int, CONSTRAINT k CHECK (a > 0)); ALTER TABLE c INHERIT g;
           ALTER TABLE c INHERIT h""",
        "ALTER TABLE c NO INHERIT g; DROP TABLE g; ALTER TABLE c INHERIT i",
        has=("ALTER TABLE public.c INHERIT public.h;",),
    ),
    Case(
        "an enum with a new value, of a generated column before others, computed by a function of the enum",
        """CREATE TYPE e AS ENUM ('a'); CREATE FUNCTION f(text) RETURNS e LANGUAGE sql IMMUTABLE AS
           'SELECT $1::public.e'; CREATE TABLE t (v text, s e GENERATED ALWAYS AS (f(v)) STORED, z int);
           CREATE INDEX ON t (s); INSERT INTO t VALUES ('a')""",
        "ALTER TYPE e ADD VALUE 'b'",
        has=("ALTER FUNCTION public.f(text) RENAME TO f__rollback;",),
        cheap=ORDER,
    ),
    Case(
        "tables that moved out of a schema that was dropped",
        """CREATE SCHEMA s; COMMENT ON SCHEMA s IS 'mine'; CREATE TABLE s.t (id serial PRIMARY KEY);
           CREATE TYPE s.e AS ENUM ('a'); CREATE TABLE s.u (e s.e)""",
        """ALTER TABLE s.t SET SCHEMA public; ALTER TABLE s.u SET SCHEMA public;
           ALTER TYPE s.e SET SCHEMA public; DROP SCHEMA s""",
        has=("CREATE SCHEMA s;", "ALTER TABLE public.t SET SCHEMA s;"),
    ),
    Case(
        "a partitioned table with checks that was dropped",
        """CREATE TABLE p (k int, x int, CHECK (k <> 7)) PARTITION BY LIST (k);
           CREATE TABLE pa PARTITION OF p (CONSTRAINT own CHECK (x < 9)) FOR VALUES IN (1);
           CREATE TABLE pb PARTITION OF p FOR VALUES IN (2) PARTITION BY LIST (x);
           CREATE TABLE pb1 PARTITION OF pb FOR VALUES IN (1)""",
        "DROP TABLE p",
    ),
    Case(
        "a new value of an enum that tables are partitioned by",
        """CREATE TYPE e AS ENUM ('a', 'b');
           CREATE TABLE p (k e, x int, CHECK (k <> 'b')) PARTITION BY LIST (k);
           CREATE TABLE pa PARTITION OF p FOR VALUES IN ('a'); CREATE TABLE o (k e[], f e);
           INSERT INTO p VALUES ('a', 1); INSERT INTO o VALUES ('{a}', 'b')""",
        "ALTER TYPE e ADD VALUE 'c'",
        has=("FROM public.pa__rollback;",),
    ),
    Case(
        "a table that is written anew where the name that is set aside is taken, and types that cut",
        """CREATE TABLE t (a int, x text, y numeric(5, 1), z varchar(3));
           CREATE VIEW t__rollback AS SELECT 1 AS one;
           INSERT INTO t VALUES (1, 'a', 2.5, 'abc')""",
        "ALTER TABLE t DROP COLUMN x; ALTER TABLE t ALTER y TYPE numeric(9, 3), ALTER z TYPE text",
        has=("RENAME TO t__rollback2;",),
        loses=("values of column public.t.y that numeric(5,1) can't hold as they are",),
        cheap=ORDER,
    ),
    Case(
        "a table that lost a middle column and became a partition of one that took its name",
        "CREATE TABLE t (d int NOT NULL, x text, y int); INSERT INTO t VALUES (1, 'a', 2)",
        """ALTER TABLE t RENAME TO t1; ALTER TABLE t1 DROP COLUMN x;
           CREATE TABLE t (d int NOT NULL, y int) PARTITION BY LIST (d);
           ALTER TABLE t ATTACH PARTITION t1 FOR VALUES IN (1)""",
        loses=("table public.t with all its rows",),
        cheap=ORDER,
    ),
    Case(
        "values that moved to another column of a partitioned table and of one that inherits",
        """CREATE TABLE p (k int, old int NOT NULL, z text) PARTITION BY LIST (k);
           CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); INSERT INTO p VALUES (1, 7, 'a');
           CREATE TABLE i (z text, old int DEFAULT 5); CREATE TABLE j () INHERITS (i);
           INSERT INTO j VALUES ('b', 8); CREATE VIEW v AS SELECT old FROM p""",
        """DROP VIEW v; ALTER TABLE p ADD new text; UPDATE p SET new = old; ALTER TABLE p DROP old;
           ALTER TABLE i ADD new text; UPDATE i SET new = old; ALTER TABLE i DROP old""",
        loses=("values of column public.p.new that integer can't hold as they are",),
        cheap=ORDER,
    ),
)
