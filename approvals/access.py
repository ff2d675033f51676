"""Who sees what: teams see their own services; people whose work spans services see all of them."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import Model, QuerySet

from .models import Execution, Incident, Migration, Role, RollbackRequest, Service, Target, User

M = TypeVar("M", bound=Model)

# Approvers must be able to decide on, ops to run, auditors to review and admins to set up any service.
SEES_ALL = frozenset({Role.SENIOR_DBA, Role.PLATFORM_LEAD, Role.OPS, Role.AUDITOR, Role.ADMIN})


def services(user: User) -> QuerySet[Service]:
    """The services this person may see; none for somebody without a role."""
    if user.roles & SEES_ALL:
        return Service.objects.all()
    if Role.ENGINEER in user.roles:
        return Service.objects.filter(team__in=user.team_keys)
    return Service.objects.none()


def _visible(user: User, found: QuerySet[M], service: str) -> QuerySet[M]:
    """Those of visible services; `service` is the way from one of them to its service."""
    if user.roles & SEES_ALL:
        return found
    return found.filter(**{f"{service}__in": services(user)})


def owns(user: User, service_id: int) -> bool:
    """True for an engineer of the team that owns the service; who only sees it, like an auditor, does not."""
    return Role.ENGINEER in user.roles and user.teams.filter(services=service_id).exists()


def writes(user: User) -> bool:
    """True for somebody with another role than auditor: auditors read everything and change nothing."""
    return bool(user.roles - {Role.AUDITOR})


def targets(user: User) -> QuerySet[Target]:
    """The targets of visible services."""
    return _visible(user, Target.objects.select_related("service"), "service")


def migrations(user: User) -> QuerySet[Migration]:
    """The migrations of visible services."""
    return _visible(user, Migration.objects.select_related("service"), "service")


def rollbacks(user: User) -> QuerySet[RollbackRequest]:
    """The rollbacks of visible services."""
    return _visible(user, RollbackRequest.objects.select_related("service", "requester"), "service")


def executions(user: User) -> QuerySet[Execution]:
    """The executions on targets of visible services."""
    found = Execution.objects.select_related("target__service", "rollback_target__rollback", "requested_by")
    return _visible(user, found, "target__service")


def incidents(user: User) -> QuerySet[Incident]:
    """The incidents of visible services."""
    return _visible(user, Incident.objects.select_related("service", "opened_by"), "service")
