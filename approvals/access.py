"""Who sees what: teams see their own services; people whose work spans services see all of them."""

from __future__ import annotations

from django.db.models import QuerySet

from .models import Execution, Incident, Migration, Role, RollbackRequest, Service, Target, User

# Approvers must be able to decide on, ops to run, auditors to review and admins to set up any service.
SEES_ALL = frozenset({Role.SENIOR_DBA, Role.PLATFORM_LEAD, Role.OPS, Role.AUDITOR, Role.ADMIN})


def services(user: User) -> QuerySet[Service]:
    """The services this person may see; none for somebody without a role."""
    if user.roles & SEES_ALL:
        return Service.objects.all()
    if Role.ENGINEER in user.roles:
        return Service.objects.filter(team__in=user.teams.all())
    return Service.objects.none()


def owns(user: User, service_id: int) -> bool:
    """True for an engineer of the team that owns the service; who only sees it, like an auditor, does not."""
    return Role.ENGINEER in user.roles and user.teams.filter(services=service_id).exists()


def writes(user: User) -> bool:
    """True for somebody with another role than auditor: auditors read everything and change nothing."""
    return bool(user.roles - {Role.AUDITOR})


def targets(user: User) -> QuerySet[Target]:
    """The targets of visible services."""
    return Target.objects.filter(service__in=services(user)).select_related("service")


def migrations(user: User) -> QuerySet[Migration]:
    """The migrations of visible services."""
    return Migration.objects.filter(service__in=services(user)).select_related("service")


def rollbacks(user: User) -> QuerySet[RollbackRequest]:
    """The rollbacks of visible services."""
    return RollbackRequest.objects.filter(service__in=services(user)).select_related("service", "requester")


def executions(user: User) -> QuerySet[Execution]:
    """The executions on targets of visible services."""
    return Execution.objects.filter(target__service__in=services(user)).select_related(
        "target__service", "rollback_target__rollback", "requested_by"
    )


def incidents(user: User) -> QuerySet[Incident]:
    """The incidents of visible services."""
    return Incident.objects.filter(service__in=services(user)).select_related("service", "opened_by")
