"""The role that runs engineers' files and scripts on an embedded scratch server: an ordinary one."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
from psycopg import sql

import executor.schema

from .clusters import Cluster

PROVER = "waqiti_prover"
ATTRIBUTES = "CREATEDB CREATEROLE NOSUPERUSER NOREPLICATION NOBYPASSRLS"
TEMPORARY_FILES = "5GB"
"""For one session: they belong to no database, so that nobody sees them in the size of one."""
STAND_INS = Path(executor.schema.__file__).parent / "standins"


def ensure_prover(cluster: Cluster) -> str:
    """Make sure that the role exists on the running server and finds the stand-ins for extensions that the
    wheel lacks; returns its password."""
    password = cluster.ensure_login(PROVER, ATTRIBUTES)
    stand_ins = _readable_copy(cluster)
    path = "$system:" + str(stand_ins).replace("\\", "\\\\").replace(" ", "\\ ")
    with psycopg.connect(cluster.superuser_dsn(), autocommit=True) as admin:
        command = sql.SQL("ALTER ROLE {} SET extension_control_path = {}")
        admin.execute(command.format(sql.Identifier(PROVER), sql.Literal(path)))
        command = sql.SQL("ALTER ROLE {} SET temp_file_limit = {}")
        admin.execute(command.format(sql.Identifier(PROVER), sql.Literal(TEMPORARY_FILES)))
        # So that it can pass both on to the roles that it makes, one for each service.
        command = sql.SQL("GRANT SET ON PARAMETER temp_file_limit, extension_control_path TO {}")
        admin.execute(command.format(sql.Identifier(PROVER)))
    return password


def prover_dsn(cluster: Cluster) -> str:
    """A libpq connection string for the role, which `ensure_prover` has made."""
    return cluster.dsn("postgres", PROVER, cluster.login_password(PROVER))


def prover_url(cluster: Cluster) -> str:
    """The same as a postgres:// URL: the worker's PROVER_DATABASE_URL."""
    return cluster.url("postgres", PROVER, cluster.login_password(PROVER))


def _readable_copy(cluster: Cluster) -> Path:
    """The stand-ins beside the server's data, where its account can read them."""
    copy = cluster.data.with_name("standins")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(STAND_INS, copy)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy
