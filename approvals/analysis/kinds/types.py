"""Types: enums, composites, ranges and domains."""

from __future__ import annotations

from approvals.analysis import names
from approvals.analysis.kinds.common import Drop
from approvals.analysis.parser import pb
from approvals.analysis.registry import Kind, registered


class _CreateType(Kind):
    """CREATE TYPE in one of its forms."""

    name = "CREATE TYPE"
    change = "CREATE TYPE"
    hazard = "create-code"


@registered("create_enum_stmt")
class CreateEnum(_CreateType):
    """CREATE TYPE … AS ENUM."""

    @property
    def says(self) -> str:
        count = len(self.node.vals)
        values = f"{count} value{'' if count == 1 else 's'}"
        return f"Creates enum {names.dotted(self.node.type_name)} with {values}."


@registered("composite_type_stmt")
class CreateComposite(_CreateType):
    """CREATE TYPE … AS (…)."""

    @property
    def says(self) -> str:
        return f"Creates composite type {names.relation(self.node.typevar)}."


@registered("create_range_stmt")
class CreateRange(_CreateType):
    """CREATE TYPE … AS RANGE."""

    @property
    def says(self) -> str:
        return f"Creates range type {names.dotted(self.node.type_name)}."


@registered("create_domain_stmt")
class CreateDomain(_CreateType):
    """CREATE DOMAIN."""

    name = "CREATE DOMAIN"

    @property
    def says(self) -> str:
        kind = names.type_name(self.node.type_name)
        return f"Creates domain {names.dotted(self.node.domainname)} over {kind}."


@registered("alter_enum_stmt")
class AlterEnum(Kind):
    """ALTER TYPE … ADD VALUE and RENAME VALUE: an added value cannot be dropped again."""

    tags = ("ALTER TYPE",)

    @property
    def _renames(self) -> bool:
        return bool(self.node.old_val)

    @property
    def name(self) -> str:
        return "RENAME ENUM VALUE" if self._renames else "ADD ENUM VALUE"

    @property
    def change(self) -> str:
        return self.name

    @property
    def hazard(self) -> str:
        return "rename" if self._renames else "enum-value"

    @property
    def notes(self) -> tuple[str, ...]:
        return () if self._renames else ("the value cannot be used before COMMIT",)

    @property
    def says(self) -> str:
        enum = names.dotted(self.node.type_name)
        if self._renames:
            return f"Renames value '{self.node.old_val}' of enum {enum} to '{self.node.new_val}'."
        return f"Adds value '{self.node.new_val}' to enum {enum}."


_DOMAIN_ACTIONS = {
    "T": ("sets or drops the default", "catalog-change"),
    "N": ("allows NULL", "catalog-change"),
    "O": ("forbids NULL", "validate-not-null"),
    "C": ("adds a constraint", "validate-check"),
    "X": ("drops a constraint", "drop-constraint"),
    "V": ("validates a constraint", "validate-later"),
}


@registered("alter_domain_stmt")
class AlterDomain(Kind):
    """ALTER DOMAIN: constraints are checked in every column of the domain."""

    name = "ALTER DOMAIN"
    change = "ALTER DOMAIN"
    notes = ("locks every table with a column of the domain",)

    @property
    def _action(self) -> tuple[str, str]:
        return _DOMAIN_ACTIONS.get(self.node.subtype, ("changes", "unreadable"))

    @property
    def hazard(self) -> str:
        return self._action[1]

    @property
    def says(self) -> str:
        return f"Changes domain {names.dotted(self.node.type_name)}: {self._action[0]}."


@registered("drop_stmt", pb.OBJECT_TYPE, pb.OBJECT_DOMAIN)
class DropType(Drop):
    """DROP TYPE and DROP DOMAIN; CASCADE drops the columns of that type."""

    change = "DROP TYPE"

    @property
    def hazard(self) -> str:
        return "drop-with-columns" if self.cascade else "drop-code"
