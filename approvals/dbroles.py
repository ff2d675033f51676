"""Which database role may do what in the portal's database. Granted after every migrate; nothing else is allowed.

Three roles, made by whoever sets the server up: the owner runs migrations, `waqiti_web` and `waqiti_worker` are
what the processes sign in as. Where a role is missing (a test on a bare server) its grants are left out.
"""

from __future__ import annotations

from typing import Any

from django.db import connections

WEB, WORKER = "waqiti_web", "waqiti_worker"
ALL = "SELECT, INSERT, UPDATE, DELETE"
# Append-only for everybody: the audit trail, and what people signed.
APPEND_ONLY = (
    "approvals_auditevent",
    "approvals_rollbackscript",
    "approvals_rollbackscript_authors",
    "approvals_migrationrevision",
)


def grant_portal_roles(using: str = "default", **_kwargs: Any) -> None:
    """Give web and worker what they need on every table, and on the append-only ones SELECT and INSERT only."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [[WEB, WORKER]])
        roles = [row[0] for row in cursor.fetchall()]
        existing = set(connection.introspection.table_names(cursor))
        for role in roles:
            cursor.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
            cursor.execute(f"GRANT {ALL} ON ALL TABLES IN SCHEMA public TO {role}")
            cursor.execute(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}")
            cursor.execute(f"REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {role}")
            for table in existing.intersection(APPEND_ONLY):
                cursor.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {role}")
