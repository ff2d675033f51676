"""Logical replication: publications and subscriptions."""

from __future__ import annotations

from approvals.analysis import names
from approvals.analysis.kinds.common import Drop, setting
from approvals.analysis.parser import pb
from approvals.analysis.registry import Kind, registered


class _Publication(Kind):
    """CREATE or ALTER PUBLICATION."""

    change = "PUBLICATION"
    hazard = "replication"

    @property
    def says(self) -> str:
        return f"{self.name.partition(' ')[0].capitalize()}s publication {names.quoted(self.node.pubname)}."


@registered("create_publication_stmt")
class CreatePublication(_Publication):
    """CREATE PUBLICATION."""

    name = "CREATE PUBLICATION"


@registered("alter_publication_stmt")
class AlterPublication(_Publication):
    """ALTER PUBLICATION."""

    name = "ALTER PUBLICATION"


@registered("drop_stmt", pb.OBJECT_PUBLICATION)
class DropPublication(Drop):
    """DROP PUBLICATION."""

    change = "PUBLICATION"
    hazard = "replication"


class _Subscription(Kind):
    """A subscription has another end: a person must agree it with that end."""

    change = "SUBSCRIPTION"
    hazard = "replication"

    @property
    def manual(self) -> bool:
        return not self.transactional

    @property
    def _options(self) -> dict[str, str]:
        return {each.def_elem.defname: setting(each.def_elem.arg) for each in self.node.options}

    @property
    def says(self) -> str:
        verb = {"CREATE": "Creates", "ALTER": "Alters"}.get(self.name.partition(" ")[0], "Drops")
        return f"{verb} subscription {names.quoted(self.node.subname)}."


@registered("create_subscription_stmt")
class CreateSubscription(_Subscription):
    """CREATE SUBSCRIPTION: refuses a transaction unless told not to make a slot."""

    name = "CREATE SUBSCRIPTION"

    @property
    def transactional(self) -> bool:
        no = ("false", "off", "0")
        return self._options.get("create_slot") in no or self._options.get("connect") in no


_NO_REFRESH = (
    pb.ALTER_SUBSCRIPTION_OPTIONS,
    pb.ALTER_SUBSCRIPTION_CONNECTION,
    pb.ALTER_SUBSCRIPTION_ENABLED,
    pb.ALTER_SUBSCRIPTION_SKIP,
)


@registered("alter_subscription_stmt")
class AlterSubscription(_Subscription):
    """ALTER SUBSCRIPTION: whatever refreshes it refuses a transaction."""

    name = "ALTER SUBSCRIPTION"

    @property
    def transactional(self) -> bool:
        return self.node.kind in _NO_REFRESH or self._options.get("refresh") in ("false", "off", "0")


@registered("drop_subscription_stmt")
class DropSubscription(_Subscription):
    """DROP SUBSCRIPTION: refuses a transaction if it has a slot, which the text does not tell."""

    name = "DROP SUBSCRIPTION"
    transactional = False
    _options: dict[str, str] = {}
