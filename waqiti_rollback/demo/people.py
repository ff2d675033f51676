"""The people of the demo: two teams of engineers, senior DBAs, a lead, ops, an auditor, an admin."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.db import transaction

from approvals import contacts
from approvals.models import Contact, Role, Team, User
from waqiti_rollback.embedded.server import write_secret


@dataclass(frozen=True)
class Person:
    """Somebody who signs in. `shown` is false for those whose role somebody else already shows."""

    username: str
    name: str
    roles: tuple[Role, ...]
    teams: tuple[str, ...] = ()
    shown: bool = True

    @property
    def role_names(self) -> str:
        return ", ".join(str(role.label) for role in self.roles)


PEOPLE = (
    Person("amina", "Amina Okafor", (Role.ENGINEER,), ("payments",)),
    Person("bram", "Bram Jansen", (Role.ENGINEER,), ("payments",), shown=False),
    Person("chidi", "Chidi Eze", (Role.ENGINEER,), ("books",)),
    Person("dunya", "Dunya Haddad", (Role.SENIOR_DBA,)),
    Person("emeka", "Emeka Diallo", (Role.SENIOR_DBA,)),
    Person("fatou", "Fatou Ndiaye", (Role.PLATFORM_LEAD,)),
    Person("grace", "Grace Kamau", (Role.OPS,)),
    Person("hassan", "Hassan Ito", (Role.AUDITOR,)),
    Person("ines", "Ines Vargas", (Role.ADMIN,)),
    # May do both jobs, but never for one and the same rollback.
    Person("kwame", "Kwame Mensah", (Role.ENGINEER, Role.SENIOR_DBA), ("payments",)),
)


def invent_passwords() -> dict[str, tuple[str, str]]:
    """A password for everybody and its hash, which takes seconds on purpose and needs no database."""
    passwords = {person.username: _password() for person in PEOPLE}
    return {username: (password, make_password(password)) for username, password in passwords.items()}


def create_people(path: Path, passwords: dict[str, tuple[str, str]]) -> None:
    """Make the accounts and write their passwords to `path`, readable by us only."""
    plain = {username: password for username, (password, _hash) in passwords.items()}
    write_secret(path, json.dumps(plain, indent=2) + "\n")
    with transaction.atomic():
        for person in PEOPLE:
            first, last = person.name.split()
            user = User.objects.create(
                username=person.username,
                email=f"{person.username}@waqiti.example",
                password=passwords[person.username][1],
                first_name=first,
                last_name=last,
            )
            user.groups.set(Group.objects.filter(name__in=[role.value for role in person.roles]))
            user.teams.set([Team.objects.get_or_create(name=name)[0] for name in person.teams])


# duty, team (none: for everything), who, phone
CONTACTS = (
    (Contact.Duty.PRIMARY_DBA, "", "dunya", "+254 20 555 0101"),
    (Contact.Duty.BACKUP_DBA, "", "emeka", "+254 20 555 0102"),
    (Contact.Duty.PLATFORM_LEAD, "", "fatou", "+221 33 555 0103"),
    (Contact.Duty.PRIMARY_DBA, "payments", "kwame", "+233 30 555 0104"),
)


def create_contacts() -> None:
    """Name whom to call, as the admin; the numbers are of ranges that nobody has."""
    for duty, team, who, phone in CONTACTS:
        called = user(who)
        contacts.save(
            None,
            duty=duty,
            team=Team.objects.filter(name=team).first(),
            service=None,
            name=str(called),
            email=called.email,
            phone=phone,
            actor=user("ines"),
        )


def logins(path: Path) -> list[tuple[Person, str]]:
    """The people to show and their passwords, as written by `create_people`."""
    passwords = json.loads(path.read_text())
    return [(person, passwords[person.username]) for person in PEOPLE if person.shown]


def user(username: str) -> User:
    """The account, read anew: an instance remembers its roles."""
    return User.objects.get(username=username)


def _password() -> str:
    """Random, and short enough to type from a terminal into a browser on the same machine."""
    return "-".join(secrets.token_hex(2) for _ in range(3))
