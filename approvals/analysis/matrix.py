"""The decision matrix: how dangerous it is to undo a forward change, in the seed document's four columns.

The rows of origin 'seed' are its twelve, word for word. The rows of origin 'extended' carry the same columns
to every kind of statement that is read. Changing a rating means changing it here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

from approvals.analysis.model import Risk

UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """Change type, rollback risk, recommended action, data loss risk, and where the row comes from."""

    change: str
    risk: Risk
    action: str
    data_loss: str
    origin: str


_SEED = """
CREATE TABLE    | HIGH     | Forward fix         | YES (if populated)
DROP TABLE      | CRITICAL | Restore from backup | YES (permanent)
ADD COLUMN      | LOW      | Drop column or keep | Maybe (if populated)
DROP COLUMN     | CRITICAL | Restore from backup | YES (permanent)
ADD INDEX       | MINIMAL  | Drop index          | NO
DROP INDEX      | LOW      | Recreate index      | NO
ADD CONSTRAINT  | MEDIUM   | Drop constraint     | NO
DROP CONSTRAINT | LOW      | Add constraint      | NO
ALTER TYPE      | MEDIUM   | Restore type        | Maybe (truncation)
INSERT DATA     | LOW      | Delete data         | NO
UPDATE DATA     | HIGH     | Restore from backup | YES (requires backup)
DELETE DATA     | CRITICAL | Restore from backup | YES (permanent)
"""

_EXTENDED = """
CREATE TABLE AS           | HIGH     | Forward fix                               | YES (if populated)
CREATE TEMPORARY TABLE    | MINIMAL  | Nothing to undo                           | NO
RENAME TABLE              | MEDIUM   | Rename back                               | NO
RENAME COLUMN             | MEDIUM   | Rename back                               | NO
RENAME OBJECT             | LOW      | Rename back                               | NO
MOVE TO SCHEMA            | MEDIUM   | Move back                                 | NO
ALTER DEFAULT             | LOW      | Restore the previous default              | NO
SET NOT NULL              | LOW      | Drop NOT NULL                             | NO
DROP NOT NULL             | MEDIUM   | Fill the gaps, then set NOT NULL          | NO
ALTER IDENTITY            | MEDIUM   | Restore identity and its position         | NO
DROP EXPRESSION           | HIGH     | Rebuild the generated column              | Maybe (stale values)
ALTER COLUMN STORAGE      | MINIMAL  | Restore the setting                       | NO
VALIDATE CONSTRAINT       | MINIMAL  | Nothing to undo                           | NO
ALTER CONSTRAINT          | LOW      | Restore its properties                    | NO
STORAGE PARAMETERS        | MINIMAL  | Restore the parameters                    | NO
TABLE PERSISTENCE         | MEDIUM   | Switch back                               | Maybe (crash)
TABLE INHERITANCE         | MEDIUM   | Restore the inheritance                   | NO
TABLESPACE OF OBJECT      | MEDIUM   | Move back                                 | NO
REPLICA IDENTITY          | MEDIUM   | Restore the identity                      | NO
CREATE PARTITION          | HIGH     | Detach, keep, then drop                   | YES (if populated)
ATTACH PARTITION          | MEDIUM   | Detach partition                          | NO
DETACH PARTITION          | MEDIUM   | Attach partition again                    | NO
CREATE SEQUENCE           | LOW      | Drop sequence                             | Maybe (its position)
ALTER SEQUENCE            | LOW      | Restore settings and position             | Maybe (its position)
DROP SEQUENCE             | MEDIUM   | Recreate at its last value                | YES (its position)
CREATE VIEW               | LOW      | Drop view                                 | NO
REPLACE VIEW              | LOW      | Restore the previous definition           | NO
ALTER VIEW                | LOW      | Restore the previous properties           | NO
DROP VIEW                 | LOW      | Recreate view                             | NO
CREATE MATERIALIZED VIEW  | LOW      | Drop materialized view                    | NO
REFRESH MATERIALIZED VIEW | MINIMAL  | Nothing to undo                           | NO
DROP MATERIALIZED VIEW    | LOW      | Recreate and refresh                      | NO
CREATE FUNCTION           | LOW      | Drop function                             | NO
REPLACE FUNCTION          | LOW      | Restore the previous definition           | NO
ALTER FUNCTION            | LOW      | Restore the previous properties           | NO
DROP FUNCTION             | LOW      | Recreate function                         | NO
CREATE TRIGGER            | LOW      | Drop trigger                              | NO
ENABLE OR DISABLE TRIGGER | MEDIUM   | Switch back, repair rows                  | Maybe (skipped effects)
DROP TRIGGER              | MEDIUM   | Recreate trigger                          | Maybe (skipped effects)
CREATE RULE               | MEDIUM   | Drop rule                                 | NO
DROP RULE                 | MEDIUM   | Recreate rule                             | NO
EVENT TRIGGER             | HIGH     | Restore the previous state                | NO
CREATE TYPE               | LOW      | Drop type                                 | NO
ADD ENUM VALUE            | HIGH     | Keep the value or swap the type           | Maybe (rows that use it)
RENAME ENUM VALUE         | LOW      | Rename back                               | NO
ALTER COMPOSITE TYPE      | HIGH     | Restore the attributes                    | Maybe (dropped attributes)
DROP TYPE                 | MEDIUM   | Recreate type                             | NO
ALTER DOMAIN              | MEDIUM   | Restore the domain                        | NO
CREATE SCHEMA             | MEDIUM   | Drop schema if empty                      | Maybe (if populated)
DROP SCHEMA               | CRITICAL | Restore from backup                       | YES (permanent)
CREATE EXTENSION          | MEDIUM   | Drop extension or keep                    | Maybe (its columns)
ALTER EXTENSION           | HIGH     | Forward fix                               | NO
DROP EXTENSION            | HIGH     | Recreate extension                        | Maybe (what hung on it)
CREATE POLICY             | MEDIUM   | Drop policy                               | NO
ALTER POLICY              | MEDIUM   | Restore policy                            | NO
DROP POLICY               | MEDIUM   | Recreate policy                           | NO
ROW SECURITY              | MEDIUM   | Switch back                               | NO
GRANT                     | LOW      | Revoke                                    | NO
REVOKE                    | LOW      | Grant again                               | NO
DEFAULT PRIVILEGES        | LOW      | Restore the default privileges            | NO
OWNER                     | LOW      | Give back to the previous owner           | NO
CREATE ROLE               | MEDIUM   | Drop role once it owns nothing            | NO
ALTER ROLE                | MEDIUM   | Restore its attributes                    | Maybe (password)
DROP ROLE                 | HIGH     | Recreate role, set a new password         | YES (password)
ROLE MEMBERSHIP           | MEDIUM   | Restore the membership                    | NO
REASSIGN OWNED            | HIGH     | Give each object back by name             | NO
DROP OWNED                | CRITICAL | Restore from backup                       | YES (permanent)
COMMENT                   | MINIMAL  | Restore the previous comment or keep      | NO
STATISTICS                | MINIMAL  | Restore the setting or keep               | NO
ANALYZE                   | MINIMAL  | Nothing to undo                           | NO
VACUUM                    | MINIMAL  | Nothing to undo                           | NO
REINDEX                   | MINIMAL  | Nothing to undo                           | NO
CLUSTER                   | MINIMAL  | Nothing to undo                           | NO
CHECKPOINT                | MINIMAL  | Nothing to undo                           | NO
TRUNCATE                  | CRITICAL | Restore from backup                       | YES (permanent)
COPY IN                   | LOW      | Delete the copied rows                    | NO
COPY OUT                  | MINIMAL  | Nothing to undo                           | NO
MERGE DATA                | HIGH     | Restore from backup                       | YES (requires backup)
QUERY                     | MINIMAL  | Nothing to undo                           | NO
CALL FUNCTION             | MEDIUM   | Read the function, undo what it did       | Maybe (hidden in it)
CALL PROCEDURE            | HIGH     | Read the procedure, undo what it did      | Maybe (hidden in it)
DO BLOCK                  | MEDIUM   | Undo each of its statements               | Maybe (see its statements)
DYNAMIC SQL               | HIGH     | Learn by rehearsal what it did, undo that | Maybe (not known)
ALTER SYSTEM              | LOW      | Restore the previous setting              | NO
ALTER DATABASE            | LOW      | Restore the previous setting              | NO
SESSION SETTING           | MINIMAL  | Nothing to undo                           | NO
TRANSACTION CONTROL       | MINIMAL  | Nothing to undo                           | NO
LOCK                      | MINIMAL  | Nothing to undo                           | NO
NOTIFY                    | LOW      | Cannot be taken back                      | NO
PUBLICATION               | MEDIUM   | Restore the publication                   | NO
SUBSCRIPTION              | HIGH     | Restore the subscription                  | Maybe (missed changes)
FOREIGN DATA              | MEDIUM   | Restore the previous definition           | NO
CREATE DATABASE           | HIGH     | Drop database                             | YES (if populated)
DROP DATABASE             | CRITICAL | Restore from backup                       | YES (permanent)
TABLESPACE                | HIGH     | Restore the tablespace                    | NO
UNKNOWN                   | CRITICAL | Have a DBA read it                        | Maybe (not known)
"""


def _rows(table: str, origin: str) -> list[MatrixRow]:
    cells = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    return [MatrixRow(change, Risk[risk], action, loss, origin) for change, risk, action, loss in cells]


MATRIX: tuple[MatrixRow, ...] = (*_rows(_SEED, "seed"), *_rows(_EXTENDED, "extended"))
_BY_CHANGE = {row.change: row for row in MATRIX}


def row(change: str) -> MatrixRow:
    """The row of a change type. Raises KeyError for a change that the matrix does not know."""
    return _BY_CHANGE[change]
