"""Renames, owners and schemas: what an object is called, whose it is and where it is."""

from __future__ import annotations

from approvals.analysis import names
from approvals.analysis.model import Lock
from approvals.analysis.parser import pb
from approvals.analysis.registry import ACCESS_EXCLUSIVE, SHARE_UPDATE, Kind, registered

_RELATIONS = (
    pb.OBJECT_TABLE,
    pb.OBJECT_VIEW,
    pb.OBJECT_MATVIEW,
    pb.OBJECT_SEQUENCE,
    pb.OBJECT_FOREIGN_TABLE,
    pb.OBJECT_INDEX,
)


class _Rename(Kind):
    """RENAME of anything."""

    @property
    def hazard(self) -> str:
        return "rename"

    @property
    def name(self) -> str:
        return "RENAME " + names.object_word(self.node.rename_type).upper()

    @property
    def tags(self) -> tuple[str, ...]:
        return ("ALTER " + names.object_word(self.node.rename_type).upper(),)

    @property
    def relation(self) -> str:
        return names.relation(self.node.relation) if self.node.HasField("relation") else ""

    @property
    def says(self) -> str:
        word, new = names.object_word(self.node.rename_type), names.quoted(self.node.newname)
        if self.node.subname:
            place = f" of {self.relation}" if self.relation else ""
            return f"Renames {word} {names.quoted(self.node.subname)}{place} to {new}."
        return f"Renames {word} {self._old} to {new}."

    @property
    def _old(self) -> str:
        if self.relation or not self.node.HasField("object"):
            return self.relation
        return names.address(self.node.rename_type, self.node.object)


@registered("rename_stmt", *_RELATIONS)
class RenameRelation(_Rename):
    """RENAME of a table, view, sequence or index: instant, but queries use the other name."""

    @property
    def change(self) -> str:
        tables = (pb.OBJECT_TABLE, pb.OBJECT_VIEW, pb.OBJECT_MATVIEW, pb.OBJECT_FOREIGN_TABLE)
        return "RENAME TABLE" if self.node.rename_type in tables else "RENAME OBJECT"

    @property
    def hazard(self) -> str:
        return "rename" if self.change == "RENAME TABLE" else "catalog-change"

    @property
    def locks(self) -> tuple[Lock, ...]:
        mode = SHARE_UPDATE if self.node.rename_type == pb.OBJECT_INDEX else ACCESS_EXCLUSIVE
        return (Lock(self.relation, mode),)


@registered("rename_stmt", pb.OBJECT_COLUMN, pb.OBJECT_ATTRIBUTE)
class RenameColumn(_Rename):
    """RENAME of a table's column or a composite type's attribute."""

    change = "RENAME COLUMN"

    @property
    def tags(self) -> tuple[str, ...]:
        return ("ALTER " + names.object_word(self.node.relation_type).upper(),)

    @property
    def locks(self) -> tuple[Lock, ...]:
        if self.node.rename_type == pb.OBJECT_ATTRIBUTE:
            return ()
        return (Lock(self.relation, ACCESS_EXCLUSIVE),)


@registered("rename_stmt", pb.OBJECT_TABCONSTRAINT, pb.OBJECT_TRIGGER, pb.OBJECT_POLICY, pb.OBJECT_RULE)
class RenameOnTable(_Rename):
    """RENAME of something that lives on a table."""

    change = "RENAME OBJECT"
    hazard = "catalog-change"

    @property
    def tags(self) -> tuple[str, ...]:
        if self.node.rename_type == pb.OBJECT_TABCONSTRAINT:
            return ("ALTER TABLE",)
        return ("ALTER " + names.object_word(self.node.rename_type).upper(),)

    @property
    def locks(self) -> tuple[Lock, ...]:
        return (Lock(self.relation, ACCESS_EXCLUSIVE),)


@registered(
    "rename_stmt",
    pb.OBJECT_TYPE,
    pb.OBJECT_DOMAIN,
    pb.OBJECT_DOMCONSTRAINT,
    pb.OBJECT_SCHEMA,
    pb.OBJECT_FUNCTION,
    pb.OBJECT_PROCEDURE,
    pb.OBJECT_ROUTINE,
    pb.OBJECT_AGGREGATE,
    pb.OBJECT_PUBLICATION,
    pb.OBJECT_SUBSCRIPTION,
    pb.OBJECT_STATISTIC_EXT,
)
class RenameObject(_Rename):
    """RENAME of something that is no relation."""

    @property
    def change(self) -> str:
        return "RENAME TABLE" if self.node.rename_type == pb.OBJECT_SCHEMA else "RENAME OBJECT"

    @property
    def tags(self) -> tuple[str, ...]:
        domain = self.node.rename_type == pb.OBJECT_DOMCONSTRAINT
        return ("ALTER DOMAIN",) if domain else super().tags

    @property
    def _old(self) -> str:
        if self.node.rename_type == pb.OBJECT_SCHEMA:
            return names.quoted(self.node.subname)
        return super()._old


@registered("rename_stmt", pb.OBJECT_ROLE)
class RenameRole(_Rename):
    """RENAME of a role: an MD5 password is lost with the name."""

    change = "ALTER ROLE"
    hazard = "roles"


@registered("rename_stmt", pb.OBJECT_DATABASE)
class RenameDatabase(_Rename):
    """RENAME of a database."""

    change = "CREATE DATABASE"
    hazard = "database-wide"


@registered("alter_owner_stmt")
class AlterOwner(Kind):
    """OWNER TO of anything but a table."""

    change = "OWNER"
    hazard = "privileges"

    name = "OWNER TO"

    @property
    def tags(self) -> tuple[str, ...]:
        return ("ALTER " + names.object_word(self.node.object_type).upper(),)

    @property
    def says(self) -> str:
        word = names.object_word(self.node.object_type)
        what = names.address(self.node.object_type, self.node.object)
        return f"Gives {word} {what} to {names.role(self.node.newowner)}."


@registered("alter_object_schema_stmt")
class MoveToSchema(Kind):
    """SET SCHEMA: the object's qualified name changes."""

    name = "SET SCHEMA"
    change = "MOVE TO SCHEMA"
    hazard = "rename"

    @property
    def tags(self) -> tuple[str, ...]:
        return ("ALTER " + names.object_word(self.node.object_type).upper(),)

    @property
    def relation(self) -> str:
        return names.relation(self.node.relation) if self.node.HasField("relation") else ""

    @property
    def locks(self) -> tuple[Lock, ...]:
        return (Lock(self.relation, ACCESS_EXCLUSIVE),) if self.relation else ()

    @property
    def says(self) -> str:
        word = names.object_word(self.node.object_type)
        what = self.relation or names.address(self.node.object_type, self.node.object)
        return f"Moves {word} {what} to schema {names.quoted(self.node.newschema)}."
