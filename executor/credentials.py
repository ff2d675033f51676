"""The worker's credentials for targets and for the scratch server; no other process has them.

TARGET_CREDENTIALS names a JSON file that only the worker's account may read:

    {"wallet-production": {"executor": {"user": "…", "password": "…"}, "backup": {…}, "clone": {…}}}

`executor` runs scripts, `backup` reads everything, `clone` (staging targets only) may create databases there.
A staging target may have `tests` too, as whom the tests of services run; without it they run as `executor`.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from approvals.models import Target
from executor.connect import Endpoint
from executor.errors import ExecutorError

Purpose = Literal["executor", "backup", "clone", "tests"]


class CredentialsMissing(ExecutorError):
    """The worker has no login for this target and purpose."""


def endpoint(target: Target, purpose: Purpose) -> Endpoint:
    """Where to reach the target and as whom. Raises CredentialsMissing, naming what to add where."""
    entry = _all().get(target.name, {}).get(purpose)
    if not entry:
        raise CredentialsMissing(
            f"The worker has no “{purpose}” login for {target.name}. "
            "Add it to the file that TARGET_CREDENTIALS names."
        )
    return Endpoint(
        host=target.host,
        port=target.port,
        dbname=target.dbname,
        user=entry["user"],
        password=entry["password"],
        application_name="waqiti_rollback",
        sslmode=entry.get("sslmode", "prefer"),
        sslrootcert=entry.get("sslrootcert"),
    )


def tests(target: Target) -> Endpoint:
    """As whom a service's own tests run on copies there. Raises CredentialsMissing."""
    try:
        return endpoint(target, "tests")
    except CredentialsMissing:
        return endpoint(target, "executor")


def scratch(major: int = 0) -> Endpoint:
    """The scratch server, on which dumps are restored and compared: the one for this major version of
    PostgreSQL where one is named for it. Raises CredentialsMissing."""
    variable = "SCRATCH_DATABASE_URL"
    if os.environ.get(f"{variable}_{major}"):
        variable = f"{variable}_{major}"
    return _by_url(variable, "The worker has no scratch server.", "waqiti_rollback scratch")


def prover() -> Endpoint:
    """The scratch server as the role that runs migrations and scripts of engineers there, to prove them.
    Raises CredentialsMissing."""
    return _by_url("PROVER_DATABASE_URL", "The worker has no login to prove scripts with.", "waqiti_prover")


def _by_url(variable: str, lacking: str, application_name: str) -> Endpoint:
    parts = urlsplit(os.environ.get(variable, ""))
    if not parts.hostname or not parts.username:
        raise CredentialsMissing(f"{lacking} Set {variable} for it.")
    return Endpoint(
        host=parts.hostname,
        port=parts.port or 5432,
        dbname=unquote(parts.path.lstrip("/")) or "postgres",
        user=unquote(parts.username),
        password=unquote(parts.password or ""),
        application_name=application_name,
    )


def _all() -> dict[str, dict[str, dict[str, str]]]:
    name = os.environ.get("TARGET_CREDENTIALS", "")
    if not name:
        raise CredentialsMissing("The worker has no credentials. Set TARGET_CREDENTIALS to their file.")
    path = Path(name)
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise CredentialsMissing(f"{path.name} is readable by others. Take that away: chmod 600.")
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CredentialsMissing(f"TARGET_CREDENTIALS can't be read: {error.strerror}.") from None
    except ValueError:
        raise CredentialsMissing("TARGET_CREDENTIALS is not valid JSON.") from None
    if not isinstance(found, dict):
        raise CredentialsMissing("TARGET_CREDENTIALS must hold one JSON object, keyed by the target's name.")
    return found
