"""Dumps rest encrypted, come out as they went in or not at all, and nothing open stays behind."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from django.core.files.storage import InMemoryStorage, storages

from executor import vault
from executor.errors import BackupFailed, BackupRefused
from executor.vault import KeyMissing

CONTENT = b"PGDMP" + os.urandom(200_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings) -> Path:
    """A vault of our own: a key, a storage, a work folder."""
    vault.make_key(tmp_path / "key")
    monkeypatch.setenv("BACKUP_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("BACKUP_WORK_DIR", str(tmp_path / "work"))
    options = {"location": str(tmp_path / "kept"), "file_permissions_mode": 0o600}
    local = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": options}
    settings.STORAGES = settings.STORAGES | {vault.ALIAS: local}
    return tmp_path


def put() -> str:
    with vault.workplace() as folder:
        path = folder / "wallet.dump"
        path.write_bytes(CONTENT)
        name = vault.put(path, "wallet-production/wallet.dump")
        assert not path.exists()
    return name


def kept(place: Path, name: str) -> Path:
    return place / "kept" / name


def at_work(place: Path) -> list[Path]:
    return list((place / "work").iterdir())


def test_what_is_stored_is_encrypted_and_comes_out_as_it_went_in(place: Path) -> None:
    name = put()
    assert name == "wallet-production/wallet.dump.age"
    stored = kept(place, name).read_bytes()
    assert stored.startswith(b"age-encryption.org/v1")
    assert CONTENT[:100] not in stored
    assert kept(place, name).stat().st_mode & 0o077 == 0
    with vault.taken_out(name, SHA256) as path:
        assert path.name == "wallet.dump"
        assert path.read_bytes() == CONTENT
    vault.check(name, SHA256)
    assert at_work(place) == []


def test_a_storage_without_files_of_its_own_will_do(place: Path, settings) -> None:
    settings.STORAGES = settings.STORAGES | {
        vault.ALIAS: {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    }
    name = put()
    assert isinstance(storages[vault.ALIAS], InMemoryStorage)
    with vault.taken_out(name, SHA256) as path:
        assert path.read_bytes() == CONTENT
    vault.remove(name)
    with pytest.raises(BackupFailed, match="can't be read"):
        vault.check(name, SHA256)


@pytest.mark.parametrize("at", [0, 30, 100, 70_000, -1])
def test_one_flipped_bit_anywhere_is_noticed(place: Path, at: int) -> None:
    name = put()
    data = bytearray(kept(place, name).read_bytes())
    data[at] ^= 1
    kept(place, name).write_bytes(data)
    with pytest.raises(BackupFailed):
        vault.check(name, SHA256)
    with pytest.raises(BackupFailed), vault.taken_out(name, SHA256):
        pytest.fail("a damaged dump was handed out")
    assert at_work(place) == []


@pytest.mark.parametrize("length", [0, 10, 65_736, 150_000])
def test_a_truncated_file_is_noticed(place: Path, length: int) -> None:
    name = put()
    os.truncate(kept(place, name), length)
    with pytest.raises(BackupFailed):
        vault.check(name, SHA256)


def test_another_dump_in_its_place_is_noticed(place: Path) -> None:
    name = put()
    with pytest.raises(BackupFailed, match="is not the one that was taken"):
        vault.check(name, hashlib.sha256(b"other").hexdigest())


def test_after_a_change_of_keys_old_dumps_still_open_and_new_ones_need_the_new_key(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = put()
    vault.make_key(place / "new")
    (place / "both").write_text((place / "new").read_text() + (place / "key").read_text())
    (place / "both").chmod(0o600)
    monkeypatch.setenv("BACKUP_KEY_FILE", str(place / "both"))
    vault.check(old, SHA256)
    new = put()
    assert new != old
    monkeypatch.setenv("BACKUP_KEY_FILE", str(place / "key"))
    with pytest.raises(BackupFailed, match="of another key"):
        vault.check(new, SHA256)


def test_without_a_key_nothing_is_stored_and_it_is_said_how_to_make_one(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BACKUP_KEY_FILE")
    with pytest.raises(KeyMissing, match="make_backup_key"):
        put()
    assert not (place / "kept").exists()


def test_a_key_that_others_may_read_or_that_is_none_is_refused(place: Path) -> None:
    (place / "key").chmod(0o644)
    with pytest.raises(KeyMissing, match="chmod 600"):
        put()
    (place / "key").chmod(0o600)
    (place / "key").write_text("hunter2\n")
    with pytest.raises(KeyMissing, match="something else") as refused:
        put()
    assert "hunter2" not in str(refused.value)
    (place / "key").write_text("# nothing\n")
    with pytest.raises(KeyMissing, match="holds no key"):
        put()


def test_a_key_is_never_written_over(place: Path) -> None:
    before = (place / "key").read_text()
    with pytest.raises(FileExistsError):
        vault.make_key(place / "key")
    assert (place / "key").read_text() == before
    assert (place / "key").stat().st_mode & 0o777 == 0o600


def test_what_a_killed_worker_left_open_goes_with_the_next_one_and_nobody_elses(place: Path) -> None:
    with vault.workplace() as theirs:
        left = place / "work" / f"{vault.PREFIX}left"
        left.mkdir()
        (left / vault.LOCK).touch()
        (left / "open.dump").write_bytes(CONTENT)
        fresh = place / "work" / f"{vault.PREFIX}fresh"
        fresh.mkdir()
        long_ago = time.time() - 2 * vault.YOUNG_S
        for each in (left, theirs):
            os.utime(each, (long_ago, long_ago))
        with vault.workplace():
            assert not left.exists()
            assert theirs.exists()
            assert fresh.exists()


def test_a_dump_for_which_there_is_no_room_is_refused_before_it_begins() -> None:
    vault.require_room(1_000_000, free=vault.RESERVE_BYTES + 2_000_000)
    with pytest.raises(BackupRefused, match="Make room there"):
        vault.require_room(1_000_001, free=vault.RESERVE_BYTES + 2_000_000)
    with pytest.raises(BackupRefused):
        vault.require_room(10**18)
