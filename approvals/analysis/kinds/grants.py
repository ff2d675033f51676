"""Privileges, owners of tables, and roles."""

from __future__ import annotations

from typing import Any

from approvals.analysis import names
from approvals.analysis.kinds.common import Action, setting
from approvals.analysis.parser import pb
from approvals.analysis.registry import Kind, registered


def _people(nodes: Any) -> str:
    return names.listed(names.role(each.role_spec) for each in nodes)


def _privileges(nodes: Any) -> str:
    return names.listed(each.access_priv.priv_name.upper() for each in nodes) or "all privileges"


@registered("grant_stmt")
class Grant(Kind):
    """GRANT and REVOKE of privileges."""

    hazard = "privileges"

    @property
    def name(self) -> str:
        return "GRANT" if self.node.is_grant else "REVOKE"

    @property
    def change(self) -> str:
        return self.name

    @property
    def _objects(self) -> str:
        word = names.object_word(self.node.objtype)
        found = []
        for each in self.node.objects:
            if each.HasField("range_var"):
                found.append(names.relation(each.range_var))
            else:
                found.append(names.address(self.node.objtype, each))
        if self.node.targtype == pb.ACL_TARGET_ALL_IN_SCHEMA:
            return f"all {word}s in schema {names.listed(found)}"
        return names.listed(found) if word == "table" else f"{word} {names.listed(found)}"

    @property
    def says(self) -> str:
        verb, way = ("Grants", "to") if self.node.is_grant else ("Revokes", "from")
        people = _people(self.node.grantees)
        return f"{verb} {_privileges(self.node.privileges)} on {self._objects} {way} {people}."


@registered("grant_role_stmt")
class GrantRole(Kind):
    """GRANT and REVOKE of a role's membership."""

    change = "ROLE MEMBERSHIP"
    hazard = "roles"

    @property
    def name(self) -> str:
        return "GRANT ROLE" if self.node.is_grant else "REVOKE ROLE"

    @property
    def says(self) -> str:
        roles = names.listed(names.quoted(each.access_priv.priv_name) for each in self.node.granted_roles)
        verb, way = ("Makes", "members of") if self.node.is_grant else ("Ends that", "belong to")
        people = _people(self.node.grantee_roles)
        return f"{verb} {people} {way} {roles}."


@registered("alter_default_privileges_stmt")
class DefaultPrivileges(Kind):
    """ALTER DEFAULT PRIVILEGES: for objects made later."""

    name = "ALTER DEFAULT PRIVILEGES"
    change = "DEFAULT PRIVILEGES"
    hazard = "privileges"

    @property
    def says(self) -> str:
        verb, way = ("Grants", "to") if self.node.action.is_grant else ("Revokes", "from")
        what = names.object_word(self.node.action.objtype)
        people = _people(self.node.action.grantees)
        return f"{verb} {_privileges(self.node.action.privileges)} on every later {what} {way} {people}."


@registered("alter_table_cmd", pb.AT_ChangeOwner)
class TableOwner(Action):
    """OWNER TO of a table, view, sequence or index."""

    name = "OWNER TO"
    change = "OWNER"
    hazard = "privileges"

    @property
    def says(self) -> str:
        return f"Gives {self.relation} to {names.role(self.node.newowner)}."


@registered("create_role_stmt")
class CreateRole(Kind):
    """CREATE ROLE, USER or GROUP."""

    name = "CREATE ROLE"
    change = "CREATE ROLE"
    hazard = "roles"

    @property
    def says(self) -> str:
        return f"Creates role {names.quoted(self.node.role)} for the whole server."


@registered("alter_role_stmt")
class AlterRole(Kind):
    """ALTER ROLE: attributes or password."""

    name = "ALTER ROLE"
    change = "ALTER ROLE"
    hazard = "roles"

    @property
    def says(self) -> str:
        return f"Changes role {names.role(self.node.role)} for the whole server."


@registered("alter_role_set_stmt")
class AlterRoleSet(Kind):
    """ALTER ROLE … SET: a setting of later sessions."""

    name = "ALTER ROLE SET"
    change = "ALTER ROLE"
    hazard = "roles"
    tags = ("ALTER ROLE",)

    @property
    def says(self) -> str:
        what = self.node.setstmt.name or "every setting"
        value = setting(self.node.setstmt.args[0]) if self.node.setstmt.args else ""
        whose = names.role(self.node.role) if self.node.HasField("role") else "every role"
        return f"Changes {what} for later sessions of {whose}{f' to {value}' if value else ''}."


@registered("drop_role_stmt")
class DropRole(Kind):
    """DROP ROLE: its password and memberships go."""

    name = "DROP ROLE"
    change = "DROP ROLE"
    hazard = "drop-role"

    @property
    def says(self) -> str:
        return f"Drops role {_people(self.node.roles)} of the whole server."


@registered("reassign_owned_stmt")
class ReassignOwned(Kind):
    """REASSIGN OWNED: gives everything of a role to another."""

    name = "REASSIGN OWNED"
    change = "REASSIGN OWNED"
    hazard = "roles"

    @property
    def says(self) -> str:
        return f"Gives everything of {_people(self.node.roles)} to {names.role(self.node.newrole)}."


@registered("drop_owned_stmt")
class DropOwned(Kind):
    """DROP OWNED: drops everything of a role in this database."""

    name = "DROP OWNED"
    change = "DROP OWNED"
    hazard = "drop-owned"

    @property
    def says(self) -> str:
        return f"Drops everything that {_people(self.node.roles)} owns in this database."
