"""Make the target databases, with their roles, and the file that tells the worker how to sign in."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, get_args

import psycopg
from psycopg import sql

from executor import marker
from waqiti_rollback.embedded import Cluster, Estate
from waqiti_rollback.embedded.prover import ensure_prover
from waqiti_rollback.embedded.server import Say, quiet, write_secret

from .deploy import deploy
from .services import SERVICES, TARGETS, DemoTarget

Size = Literal["small", "full"]
SIZES: tuple[Size, ...] = get_args(Size)
CLONE, SCRATCH = "waqiti_rollback_clone", "waqiti_scratch"


def prepare_targets(
    servers: Estate, *, size: Size, targets: Iterable[DemoTarget] = TARGETS, say: Say = quiet
) -> None:
    """Make the target databases anew on the running servers; those of the last time are dropped."""
    servers.scratch.ensure_login(SCRATCH, "CREATEDB")
    ensure_prover(servers.scratch)
    for cluster in (servers.production, servers.staging):
        make_roles(cluster)
    # Both clusters have two cores between them, and production is the long one: it begins first.
    ordered = sorted(targets, key=lambda target: -target.rows)
    with ThreadPoolExecutor(2) as pool:
        for target in pool.map(lambda target: _make(servers, target, size), ordered):
            _set_up(servers, target)
            rows = f"{target.size(size):,} rows"
            say(f"{target.name}: {target.service.name} at version {target.newest}, {rows}")


def write_credentials(path: Path, servers: Estate, targets: Iterable[DemoTarget] = TARGETS) -> None:
    """The worker's logins, in a file that only its account can read."""
    entries = {}
    for target in targets:
        cluster = servers.clusters[target.environment]
        logins = {"executor": marker.EXECUTOR, "backup": marker.BACKUP}
        if target.environment == "staging":
            logins["clone"] = CLONE
        entries[target.name] = {
            purpose: {"user": role, "password": cluster.login_password(role)}
            for purpose, role in logins.items()
        }
    write_secret(path, json.dumps(entries, indent=2) + "\n")


def _make(servers: Estate, target: DemoTarget, size: Size) -> DemoTarget:
    cluster = servers.clusters[target.environment]
    owner = target.service.owner_role
    with psycopg.connect(cluster.superuser_dsn(), autocommit=True) as admin:
        name = sql.Identifier(target.database)
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, sql.Identifier(owner)))
    with psycopg.connect(cluster.superuser_dsn(target.database), autocommit=True) as connection:
        allow_server_settings(connection, target)
        deploy(connection, target, rows=target.size(size))
    return target


def _set_up(servers: Estate, target: DemoTarget) -> None:
    """What a DBA does once per target. Roles are the cluster's, so never two of these at the same time."""
    cluster = servers.clusters[target.environment]
    passwords = {role: cluster.login_password(role) for role in (marker.EXECUTOR, marker.BACKUP)}
    with psycopg.connect(cluster.superuser_dsn(target.database), autocommit=True) as connection:
        setup = marker.Setup(
            owner_role=target.service.owner_role,
            database=target.database,
            server_version=connection.info.server_version,
            alter_system=target.alter_system,
        )
        marker.install(connection, setup, passwords=passwords)


def make_roles(cluster: Cluster) -> None:
    """The owners of the services' objects, and on staging a role that makes databases for rehearsals."""
    owners = [service.owner_role for service in SERVICES]
    with psycopg.connect(cluster.superuser_dsn(), autocommit=True) as admin:
        known = {row[0] for row in admin.execute("SELECT rolname FROM pg_roles").fetchall()}
        for role in {*owners, marker.OWNER} - known:
            admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
        if cluster.name == "staging":
            cluster.ensure_login(CLONE, "CREATEDB")
            for role in (*owners, marker.OWNER):
                admin.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(CLONE)))


def allow_server_settings(connection: psycopg.Connection[tuple[object, ...]], target: DemoTarget) -> None:
    """What the service's owner needs to change server settings by a migration, without being a superuser."""
    owner = sql.Identifier(target.service.owner_role)
    for name in target.alter_system:
        grant = sql.SQL("GRANT ALTER SYSTEM ON PARAMETER {} TO {}")
        connection.execute(grant.format(sql.Identifier(name), owner))
    if target.alter_system:
        connection.execute(sql.SQL("GRANT EXECUTE ON FUNCTION pg_reload_conf() TO {}").format(owner))
