"""What production refuses to start with, and why: settings call the first part, processes the second."""

from __future__ import annotations

import os
from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

DEFAULT_PASSWORDS = {
    "",
    "password",
    "postgres",
    "changeme",
    "change-me",
    "secret",
    "admin",
    "waqiti",
    "redis",
    "root",
}
SHORTEST_KEY = 50
FOR_WORKERS = (
    "TARGET_CREDENTIALS",
    "SCRATCH_DATABASE_URL",
    "PROVER_DATABASE_URL",
    "BACKUP_KEY_FILE",
    "BACKUP_STORAGE_OPTIONS",
)


def insecure_settings(
    debug: bool, secret_key: str, allowed_hosts: Sequence[str], database_url: str, broker_url: str
) -> list[str]:
    """Return one sentence per insecure setting, saying what to set; an empty list when all is well."""
    wrong = []
    if debug:
        wrong.append("DEBUG is on: it shows settings and source to visitors. Unset it.")
    if not secret_key:
        wrong.append(
            "SECRET_KEY is missing: sessions could be forged. Set it to 50 or more random characters."
        )
    elif len(secret_key) < SHORTEST_KEY or len(set(secret_key)) < 10:
        wrong.append(f"SECRET_KEY is weak: it needs {SHORTEST_KEY} or more random characters.")
    if not allowed_hosts or "*" in allowed_hosts:
        wrong.append("ALLOWED_HOSTS is empty or *: name the hosts the portal is reached by.")
    for name, url in (("DATABASE_URL", database_url), ("CELERY_BROKER_URL", broker_url)):
        if not url:
            wrong.append(f"{name} is missing.")
        elif (urlsplit(url).password or "").lower() in DEFAULT_PASSWORDS:
            wrong.append(f"{name} has no password or a default one: give it a password of its own.")
    return wrong


def refuse_trust_authentication(database_url: str) -> None:
    """Raise RuntimeError if the portal's server lets anybody in who gives a wrong password."""
    import psycopg

    parts = urlsplit(database_url)
    host = parts.netloc.rpartition("@")[2]
    wrong = urlunsplit(
        ("postgresql", f"{parts.username}:certainly-not-{os.urandom(8).hex()}@{host}", parts.path, "", "")
    )
    try:
        psycopg.connect(wrong, connect_timeout=5).close()
    except psycopg.OperationalError:
        return
    raise RuntimeError(
        "Refusing to start: the portal's PostgreSQL accepts any password (trust authentication). "
        "Set scram-sha-256 in its pg_hba.conf."
    )


def refuse_target_credentials() -> None:
    """Raise RuntimeError if a web process was given what only a worker may have."""
    by_version = "SCRATCH_DATABASE_URL_"
    names = [*FOR_WORKERS, *(name for name in sorted(os.environ) if name.startswith(by_version))]
    given = [name for name in names if os.environ.get(name)]
    if given:
        raise RuntimeError(
            f"Refusing to start: {' and '.join(given)} must be set for workers only, not for the web."
        )
