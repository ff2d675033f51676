"""Which database role may do what in the portal's database, granted after every migrate.

Three roles, made by whoever sets the server up: the owner runs migrations, `waqiti_web` and `waqiti_worker`
are what the processes sign in as. Where a role is missing (a test on a bare server) its grants are left out.
"""

from __future__ import annotations

from typing import Any

from django.db import connections

WEB, WORKER = "waqiti_web", "waqiti_worker"
# Written once: SELECT and INSERT for everybody. Triggers hold the same for the owner
# (migrations/sql/append_only.sql).
APPEND_ONLY = frozenset(
    {
        "approvals_auditevent",
        "approvals_comment",
        "approvals_continuationapproval",
        "approvals_evidence",
        "approvals_exceptionsignature",
        "approvals_migrationrevision",
        "approvals_policyrule",
        "approvals_policyversion",
        "approvals_rollbackscript",
        "approvals_rollbackscript_authors",
    }
)
# The record of what happened: it grows and changes, nothing in it is ever deleted.
KEPT = frozenset(
    {
        "approvals_backup",
        "approvals_backupexception",
        "approvals_basebackup",
        "approvals_breakglass",
        "approvals_calendarentry",
        "approvals_checklistentry",
        "approvals_continuation",
        "approvals_execution",
        "approvals_executionlog",
        "approvals_executionstep",
        "approvals_generation",
        "approvals_fleetrun",
        "approvals_importrequest",
        "approvals_importrun",
        "approvals_importtoken",
        "approvals_incident",
        "approvals_incidentaction",
        "approvals_incidentnote",
        "approvals_job",
        "approvals_maskingrule",
        "approvals_postmortem",
        "approvals_proof",
        "approvals_rehearsalclone",
        "approvals_rollbackrequest",
        "approvals_schedule",
        "approvals_trial",
        "approvals_thread",
    }
)
# A worker reads who people are and what the policy is; it never says so, and it signs, confirms and says
# nothing in their place. Scripts it may add, since it imports U files, and never change, like everybody.
NOT_FOR_WORKER = frozenset(
    {
        "account_emailaddress",
        "account_emailconfirmation",
        "approvals_approval",
        "approvals_backupexception",
        "approvals_breakglass",
        "approvals_calendarentry",
        "approvals_checklistentry",
        "approvals_comment",
        "approvals_contact",
        "approvals_continuationapproval",
        "approvals_exceptionsignature",
        "approvals_importtoken",
        "approvals_incident",
        "approvals_incidentaction",
        "approvals_incidentnote",
        "approvals_look",
        "approvals_maskingrule",
        "approvals_policyrule",
        "approvals_policyversion",
        "approvals_team",
        "approvals_team_members",
        "approvals_thread",
        "approvals_user",
        "approvals_user_groups",
        "approvals_user_user_permissions",
        "auth_group",
        "auth_group_permissions",
        "auth_permission",
        "django_session",
        "portal_cache",
    }
)
# What only a worker can know, since only it was on a target: the web process reads it, and could not put
# anything in its place.
NOT_FOR_WEB = frozenset(
    {
        "approvals_backup",
        "approvals_basebackup",
        "approvals_evidence",
        "approvals_executionlog",
        "approvals_historyrow",
        "approvals_rehearsalclone",
    }
)


def privileges(role: str, table: str) -> str:
    """The privileges of a portal role on a table, as GRANT takes them."""
    not_for = {WORKER: NOT_FOR_WORKER, WEB: NOT_FOR_WEB}[role]
    if table == "django_migrations" or table in not_for:
        granted = "SELECT"
    elif table in APPEND_ONLY or table == "approvals_approval":
        granted = "SELECT, INSERT"
    elif table in KEPT:
        granted = "SELECT, INSERT, UPDATE"
    else:
        granted = "SELECT, INSERT, UPDATE, DELETE"
    # Voiding is all that may ever happen to a decision; a failed execution voids as well.
    return granted + (", UPDATE (voided_at, void_reason)" if table == "approvals_approval" else "")


def grant_portal_roles(using: str = "default", **_kwargs: Any) -> None:
    """Give web and worker what they need on every table, and take away whatever else they had."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [[WEB, WORKER]])
        roles = [row[0] for row in cursor.fetchall()]
        tables = connection.introspection.table_names(cursor)
        quote = connection.ops.quote_name
        for role in roles:
            cursor.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
            cursor.execute(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}")
            for table in tables:
                cursor.execute(f"REVOKE ALL ON {quote(table)} FROM {role}")
                cursor.execute(f"GRANT {privileges(role, table)} ON {quote(table)} TO {role}")
