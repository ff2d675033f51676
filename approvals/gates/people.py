"""The gate that counts signatures, and who could still give one."""

from __future__ import annotations

from collections import Counter

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from approvals.known import Known
from approvals.models import Role

from .gate import NAMES, Gate, Needed, judged


def approved(known: Known) -> Gate:
    lacking = Counter(str(role.label) for role in known.missing_roles)
    return judged(
        "approvals",
        _("Approved by enough people"),
        holds=not lacking,
        yes=_("Every signature that the policy asks for was given."),
        no=_("Missing: %(roles)s.")
        % {"roles": ", ".join(f"{n} × {role}" if n > 1 else role for role, n in lacking.items())},
        who=_signers(known) if lacking else "",
        needed=Needed.EXECUTE,
    )


def _signers(known: Known) -> str:
    """Who can sign, by role: `Senior DBA: Dunya, Emeka; Platform lead: Fatou`."""
    return "; ".join(
        f"{role.label}: {_names(known, role)}"
        for role in (Role.SENIOR_DBA, Role.PLATFORM_LEAD)
        if role in known.missing_roles
    )


def _names(known: Known, role: Role) -> str:
    people = known.signers[role]
    if not people:
        return _("nobody who neither asked nor wrote")
    told = ", ".join(str(person) for person in people[:NAMES])
    if (more := len(people) - NAMES) <= 0:
        return told
    return ngettext("%(names)s and %(more)d more", "%(names)s and %(more)d more", more) % {
        "names": told,
        "more": more,
    }
