"""Dumps in a store that speaks the protocol of S3, by settings alone: as safe there as in a folder."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from executor import vault
from executor.errors import BackupFailed
from waqiti_rollback import dumps

BUCKET, NAME = "dumps", "wallet-production/wallet.dump"
# Large enough to go up in parts.
CONTENT = b"PGDMP" + os.urandom(9_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SIGN_IN = {"aws_access_key_id": "worker", "aws_secret_access_key": "only for tests"}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server of its own thread."""
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def bucket(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Any]:
    """An empty bucket, and a vault that keeps its dumps there."""
    vault.make_key(tmp_path / "key")
    for name, value in (("KEY_FILE", "key"), ("WORK_DIR", "work")):
        monkeypatch.setenv(f"BACKUP_{name}", str(tmp_path / value))
    for name, value in (
        ("ACCESS_KEY_ID", "worker"),
        ("SECRET_ACCESS_KEY", "only for tests"),
        ("MAX_ATTEMPTS", "1"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    made = boto3.resource("s3", endpoint_url=address, region_name="us-east-1").Bucket(BUCKET)
    made.create()
    _keep_there(settings, address)
    yield made
    made.objects.all().delete()
    made.delete()


def _keep_there(settings: Any, address: str, **options: Any) -> None:
    chosen = {"bucket_name": BUCKET, "endpoint_url": address, "region_name": "us-east-1"} | options
    settings.STORAGES = settings.STORAGES | {vault.ALIAS: dumps.storage(dumps.S3, chosen, "")}


def put() -> str:
    with vault.workplace() as folder:
        path = folder / "wallet.dump"
        path.write_bytes(CONTENT)
        return vault.put(path, NAME)


def test_it_is_encrypted_there_and_comes_out_as_it_went_in(bucket: Any, tmp_path: Path) -> None:
    name = put()
    kept = list(bucket.objects.all())
    assert [each.key for each in kept] == [name] == [f"{NAME}.age"]
    assert kept[0].get()["Body"].read(30).startswith(b"age-encryption.org/v1")
    with vault.taken_out(name, SHA256) as path:
        assert path.read_bytes() == CONTENT
    vault.remove(name)
    assert list(bucket.objects.all()) == []
    assert list((tmp_path / "work").iterdir()) == []


def test_no_dump_takes_the_place_of_another(bucket: Any) -> None:
    first, second = put(), put()
    assert first != second
    vault.check(first, SHA256)
    vault.check(second, SHA256)


def test_what_somebody_changed_there_is_noticed(bucket: Any) -> None:
    name = put()
    stored = bytearray(bucket.Object(name).get()["Body"].read())
    stored[70_000] ^= 1
    bucket.put_object(Key=name, Body=bytes(stored))
    with pytest.raises(BackupFailed, match="can't be read: decryption error"):
        vault.check(name, SHA256)


def test_where_the_bucket_is_not_there_nothing_stays_and_it_is_said(
    bucket: Any, settings: Any, tmp_path: Path
) -> None:
    _keep_there(settings, bucket.meta.client.meta.endpoint_url, bucket_name="no-such-bucket")
    with pytest.raises(BackupFailed, match=r"can't be stored: .*NoSuchBucket"):
        put()
    assert list((tmp_path / "work").iterdir()) == []


def test_where_nobody_answers_it_is_said(bucket: Any, settings: Any) -> None:
    name = put()
    _keep_there(settings, "http://127.0.0.1:9")  # the port of `discard`, where nothing listens
    with pytest.raises(BackupFailed, match=r"can't be read: Could not connect"):
        vault.check(name, SHA256)
    with pytest.raises(BackupFailed, match=r"can't be removed: Could not connect"):
        vault.remove(name)
    with pytest.raises(BackupFailed, match=r"can't be stored: .*[Cc]ould not connect"):
        put()
