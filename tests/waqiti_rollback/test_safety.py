"""Production refuses what is insecure and says why."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from waqiti_rollback import safety
from waqiti_rollback.embedded import Cluster

ROOT = Path(__file__).resolve().parents[2]
KEY = "Zx9" + "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOP"
DATABASE, BROKER = "postgres://waqiti_web:s3cure-enough@db/portal", "redis://:s3cure-enough@valkey/0"


def test_sound_settings_are_accepted() -> None:
    assert safety.insecure_settings(False, KEY, ["rollback.example.com"], DATABASE, BROKER) == []


@pytest.mark.parametrize(
    ("settings", "about"),
    [
        ((True, KEY, ["h"], DATABASE, BROKER), "DEBUG"),
        ((False, "", ["h"], DATABASE, BROKER), "SECRET_KEY is missing"),
        ((False, "short", ["h"], DATABASE, BROKER), "SECRET_KEY is weak"),
        ((False, "a" * 80, ["h"], DATABASE, BROKER), "SECRET_KEY is weak"),
        ((False, KEY, [], DATABASE, BROKER), "ALLOWED_HOSTS"),
        ((False, KEY, ["*"], DATABASE, BROKER), "ALLOWED_HOSTS"),
        ((False, KEY, ["h"], "", BROKER), "DATABASE_URL is missing"),
        ((False, KEY, ["h"], "postgres://u@db/portal", BROKER), "DATABASE_URL has no password"),
        ((False, KEY, ["h"], "postgres://u:Postgres@db/portal", BROKER), "DATABASE_URL has no password"),
        ((False, KEY, ["h"], DATABASE, ""), "CELERY_BROKER_URL is missing"),
        ((False, KEY, ["h"], DATABASE, "redis://valkey/0"), "CELERY_BROKER_URL has no password"),
    ],
)
def test_each_insecure_setting_is_named(settings: tuple[object, ...], about: str) -> None:
    (sentence,) = safety.insecure_settings(*settings)  # type: ignore[arg-type]
    assert sentence.startswith(about)


def test_a_production_start_with_nothing_set_refuses_and_names_everything() -> None:
    env = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "waqiti_rollback.settings"}
    ended = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert ended.returncode != 0
    for name in ("SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "CELERY_BROKER_URL"):
        assert f"- {name}" in ended.stderr


@pytest.mark.parametrize("name", ["TARGET_CREDENTIALS", "SCRATCH_DATABASE_URL_15"])
def test_a_web_process_that_is_given_what_is_for_workers_refuses(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "/somewhere.json")
    with pytest.raises(RuntimeError, match=f"{name} must be set for workers only"):
        safety.refuse_target_credentials()


def test_loading_the_web_process_never_imports_the_executor() -> None:
    code = (
        "import sys, django; import waqiti_rollback.asgi; from django.urls import get_resolver;"
        "get_resolver().reverse_dict; print([m for m in sys.modules if m.split('.')[0] == 'executor'])"
    )
    env = {**os.environ, "WAQITI_ENV": "test"}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "[]"


def reload_configuration(cluster: Cluster) -> None:
    """Reload pg_hba.conf and wait until the server has."""
    with psycopg.connect(cluster.superuser_dsn(), autocommit=True) as connection:
        loaded = "SELECT pg_conf_load_time()"
        before = connection.execute(loaded).fetchone()
        connection.execute("SELECT pg_reload_conf()")
        while connection.execute(loaded).fetchone() == before:
            time.sleep(0.02)


@pytest.mark.integration
def test_a_portal_server_that_trusts_everybody_is_refused_and_a_scram_one_is_not(
    portal_cluster: Cluster,
) -> None:
    url = portal_cluster.url("postgres", "postgres", portal_cluster.password)
    safety.refuse_trust_authentication(url)
    hba = portal_cluster.data / "pg_hba.conf"
    before = hba.read_text()
    try:
        hba.write_text("host all all 127.0.0.1/32 trust\n" + before)
        reload_configuration(portal_cluster)
        with pytest.raises(RuntimeError, match="trust authentication"):
            safety.refuse_trust_authentication(url)
    finally:
        hba.write_text(before)
        reload_configuration(portal_cluster)


def test_every_setting_of_the_environment_stands_in_the_table_of_settings() -> None:
    table = (ROOT / "docs" / "settings.md").read_text()
    sources = [ROOT / "waqiti_rollback" / "settings.py", *(ROOT / "executor").glob("*.py")]
    pattern = re.compile(r"""(?:env\.\w+\(|environ\.get\(|environ\[)\s*["']([A-Z_]+)["']""")
    used = {name for source in sources for name in pattern.findall(source.read_text())}
    used -= {"PATH"}  # the machine's, not ours
    assert used
    assert [name for name in sorted(used) if f"`{name}`" not in table] == []
