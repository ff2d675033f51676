"""Where dumps rest: encrypted with age, in a storage of Django's, and taken out only for as long as they are
needed.

age (age-encryption.org) is a public format: whoever holds the key can open a dump without this portal, with
`age --decrypt --identity KEYFILE`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyrage
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage, storages
from pyrage import x25519

from executor.errors import BackupFailed, BackupRefused, ExecutorError

ALIAS, SUFFIX, LOCK = "backups", ".age", "in-use"
# Kept free on the disk beyond what a backup is expected to write.
RESERVE_BYTES = 100_000_000
PREFIX = "at-work-"
# A folder this young may not have been locked yet by whoever made it.
YOUNG_S = 60.0
# What a storage says by: a file system, and S3, which has families of its own.
STORAGE_ERRORS = (OSError, BotoCoreError, ClientError, Boto3Error)


class KeyMissing(ExecutorError):
    """The worker can't encrypt or decrypt dumps."""


def make_key(path: Path) -> str:
    """Write a new key to a file that only its owner may read, and return its public half. Raises
    FileExistsError: a key that is there is never written over."""
    key = x25519.Identity.generate()
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(f"# public key: {key.to_public()}\n{key}\n")
    return str(key.to_public())


def require_room(needed: int, *, free: int | None = None) -> None:
    """Raise BackupRefused unless the worker's disk can hold this many bytes twice, open and encrypted."""
    wanted = 2 * needed + RESERVE_BYTES
    if free is None:
        free = shutil.disk_usage(_work_folder()).free
    if free < wanted:
        raise BackupRefused(
            f"The worker's disk has {free / 1e6:,.0f} MB free; a dump of up to {needed / 1e6:,.0f} MB needs "
            f"{wanted / 1e6:,.0f} MB. Make room there, or give the worker another BACKUP_WORK_DIR."
        )


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder of our own for open dumps, gone afterwards. What killed workers left behind goes first."""
    folder = _work_folder()
    _sweep(folder)
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=PREFIX) as name,
        (Path(name) / LOCK).open("w") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield Path(name)


def put(path: Path, name: str) -> str:
    """Encrypt the file at `path` into the storage, take it away here, and return its name there. Raises
    KeyMissing, BackupFailed."""
    recipient = _keys()[0].to_public()
    encrypted = path.with_name(path.name + SUFFIX)
    try:
        with path.open("rb") as open_dump, encrypted.open("xb") as file:
            pyrage.encrypt_io(open_dump, file, [recipient])
        path.unlink()
        with encrypted.open("rb") as file:
            stored = _storage().save(name + SUFFIX, File(file))
        _to_disk(stored)
    except STORAGE_ERRORS as error:
        raise BackupFailed(f"The dump can't be stored: {_reason(error)}.") from None
    finally:
        encrypted.unlink(missing_ok=True)
    return str(stored)


@contextlib.contextmanager
def taken_out(name: str, sha256: str) -> Iterator[Path]:
    """The dump as a file, for as long as the block lasts; its SHA-256 was compared. Raises KeyMissing,
    BackupFailed."""
    with workplace() as folder:
        path = folder / Path(name).name.removesuffix(SUFFIX)
        with path.open("xb") as file:
            _decrypt(name, sha256, file)
        yield path


def check(name: str, sha256: str) -> None:
    """Decrypt the dump without keeping it, right before it is relied on. Raises KeyMissing, and BackupFailed
    unless it is there and has this SHA-256."""
    with Path(os.devnull).open("wb") as nowhere:
        _decrypt(name, sha256, nowhere)


def remove(name: str) -> None:
    """Take a dump out of the storage for good; nothing happens where it is gone. Raises BackupFailed."""
    try:
        _storage().delete(name)
    except STORAGE_ERRORS as error:
        raise BackupFailed(f"The dump {name} can't be removed: {_reason(error)}.") from None


class _Hashing:
    """A file that is hashed while it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def _decrypt(name: str, sha256: str, into: BinaryIO) -> None:
    hashing = _Hashing(into)
    try:
        with _storage().open(name, "rb") as file:
            pyrage.decrypt_io(file, hashing, _keys())
    except pyrage.DecryptError:
        raise BackupFailed(f"The dump {name} can't be decrypted: it is damaged, or of another key.") from None
    except STORAGE_ERRORS as error:  # of the storage, or of age half-way through a damaged file
        raise BackupFailed(f"The dump {name} can't be read: {_reason(error)}.") from None
    found = hashing.sha256.hexdigest()
    if found != sha256:
        raise BackupFailed(f"The dump {name} is not the one that was taken: its SHA-256 is {found}.")


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).rstrip(".")


def _storage() -> Storage:
    return storages[ALIAS]


def _to_disk(name: str) -> None:
    """A local file survives a power cut from here on; what is elsewhere is that service's to keep."""
    storage = _storage()
    if not isinstance(storage, FileSystemStorage):
        return
    path = Path(storage.path(name))
    for each in (path, path.parent):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _keys() -> list[x25519.Identity]:
    """The keys of BACKUP_KEY_FILE: the first one encrypts, each may decrypt."""
    name = os.environ.get("BACKUP_KEY_FILE", "")
    if not name:
        raise KeyMissing(
            "The worker has no key to encrypt dumps with. Make one with manage.py make_backup_key FILE, "
            "and set BACKUP_KEY_FILE to it."
        )
    path = Path(name)
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise KeyMissing(f"{path.name} is readable by others. Take that away: chmod 600.")
        lines = [line.strip() for line in path.read_text(encoding="ascii").splitlines()]
        keys = [x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except OSError as error:
        raise KeyMissing(f"BACKUP_KEY_FILE can't be read: {error.strerror}.") from None
    except (pyrage.IdentityError, UnicodeDecodeError):
        raise KeyMissing(f"{path.name} holds something else than age keys (AGE-SECRET-KEY-1…).") from None
    if not keys:
        raise KeyMissing(f"{path.name} holds no key.")
    return keys


def _work_folder() -> Path:
    default = Path(os.environ.get("BACKUP_DIR", "backups")) / "work"
    folder = Path(os.environ.get("BACKUP_WORK_DIR", default)).resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _sweep(folder: Path) -> None:
    """Open dumps of workers that were killed: nobody holds the lock in their folder any more."""
    for left in folder.glob(f"{PREFIX}*"):
        try:
            if time.time() - left.stat().st_mtime < YOUNG_S:
                continue
            with (left / LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue  # somebody works there, or just began to
