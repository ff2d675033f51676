"""Where migrations come from: a directory here, a .zip, or a git repository at a revision.

Whatever somebody hands in is treated as hostile: archives may be bombs or name places outside, URLs may name
programs or carry passwords. Each source yields a directory with exactly the files asked for, gone afterwards.
"""

from __future__ import annotations

import re
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO

from django.conf import settings
from django.utils.translation import gettext as _

from .errors import Refused
from .flyway.settings import CONF, TOML

LARGEST_ARCHIVE = 64 * 1024**2
LARGEST_FILE = 16 * 1024**2
LARGEST_TOTAL = 256 * 1024**2
MOST_FILES = 50_000
MOST_ENTRIES = 2 * MOST_FILES  # with folders
LONGEST_FOLDER = 500
LONGEST_NAME = 255  # bytes that a folder's or file's own name may have, here and on every common system
_ENTRY = b"PK\x01\x02"
# What Python raises for archives that are none, or broken: a UnicodeDecodeError is a ValueError.
UNREADABLE = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, zlib.error)
SETTINGS = (TOML, CONF)


@dataclass(frozen=True, slots=True)
class Commit:
    """The commit that changed a file last. `author` is name and address as git has them."""

    id: str
    author: str
    at: datetime


@dataclass(frozen=True)
class Source:
    """A directory to read. `name` says for people where it came from, `head` is the commit that was read, and
    `commits` are by the files' paths."""

    directory: Path
    name: str
    head: Commit | None = None
    commits: Mapping[str, Commit] = field(default_factory=dict)


class SourceRefused(Refused):
    """This is not read; the message says which part of it is wrong and what to do."""


def in_directory(directory: Path) -> Source:
    """A directory of this machine. Raises SourceRefused where there is none."""
    if not directory.is_dir():
        raise SourceRefused(_("There is no directory %(path)s.") % {"path": directory})
    whole = directory.resolve()
    home = Path(settings.BASE_DIR)
    return Source(directory, str(whole.relative_to(home) if whole.is_relative_to(home) else directory))


@contextmanager
def in_archive(archive: IO[bytes], name: str, *, folder: str = "") -> Iterator[Source]:
    """The files of a .zip below `folder`; a single folder around everything is stepped into.

    Raises SourceRefused for what is no .zip, is too large packed or unpacked, is encrypted, or names a link,
    a device or a place outside of it: then nothing of it is read.
    """
    with tempfile.TemporaryDirectory(prefix="import-") as place:
        root = Path(place, "files")
        root.mkdir()
        inside = clean_folder(folder)
        if archive.seek(0, 2) > LARGEST_ARCHIVE:
            raise too_large(_("The archive"), LARGEST_ARCHIVE)
        _require_few(archive)
        try:
            with zipfile.ZipFile(archive) as opened:
                _unpack(opened, root, inside)
        except UNREADABLE as bad:
            raise SourceRefused(
                _("%(name)s cannot be read as a .zip: %(why)s.") % {"name": name, "why": bad}
            ) from None
        yield Source(below(root, inside) if folder else _single(root), name)


def _require_few(archive: IO[bytes]) -> None:
    """Count the entries before each becomes an object: a million of them fit into an archive."""
    archive.seek(0)
    if archive.read().count(_ENTRY) > MOST_ENTRIES:
        raise SourceRefused(_("The archive holds more than %(most)d files.") % {"most": MOST_FILES})


def _unpack(opened: zipfile.ZipFile, root: Path, inside: PurePosixPath) -> None:
    """Write what is wanted. Sizes are counted while reading: what an archive says of itself may be a lie."""
    entries = [entry for entry in opened.infolist() if not entry.is_dir()]
    if len(entries) > MOST_FILES:
        raise SourceRefused(_("The archive holds more than %(most)d files.") % {"most": MOST_FILES})
    seen: set[str] = set()
    for entry in entries:
        _require_harmless(entry)
        if entry.filename in seen:
            raise SourceRefused(_("The archive holds %(file)s twice.") % {"file": entry.filename})
        seen.add(entry.filename)
    total = 0
    for entry in entries:
        path = PurePosixPath(entry.filename)
        if not wanted(path, inside):
            continue
        with opened.open(entry) as packed:
            data = packed.read(LARGEST_FILE + 1)
        total += len(data)
        require_size(entry.filename, len(data), total)
        write(root, path, data)


def _require_harmless(entry: zipfile.ZipInfo) -> None:
    name, kind = entry.filename, stat.S_IFMT(entry.external_attr >> 16)
    if not is_inside(name):
        raise SourceRefused(_("The archive names a place outside of it: %(file)r.") % {"file": name})
    if entry.flag_bits & 0x1:
        raise SourceRefused(_("%(file)s in the archive is encrypted: pack it without.") % {"file": name})
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(_("%(file)s is packed in an unusual way") % {"file": name})
    if kind not in (0, stat.S_IFREG):
        raise SourceRefused(
            _("%(file)s in the archive is a link or a device; only plain files are read.") % {"file": name}
        )


def is_inside(name: str) -> bool:
    """Is this a relative path, in one way for every system, that stays where it is unpacked?"""
    parts = name.split("/")
    odd = "\\" in name or "\0" in name or not name.isprintable() or re.match(r"[A-Za-z]:", name)
    return bool(name) and not odd and not any(part in ("", ".", "..") for part in parts)


def clean_folder(folder: str) -> PurePosixPath:
    """The folder within a source, as people write it (`/db/migration/`). Raises SourceRefused."""
    text = folder.strip().strip("/")
    too_long = len(text) > LONGEST_FOLDER or any(len(p.encode()) > LONGEST_NAME for p in text.split("/"))
    if text and (not is_inside(text) or too_long):
        raise SourceRefused(_("%(folder)r is no folder inside of it.") % {"folder": folder})
    return PurePosixPath(text)


def wanted(path: PurePosixPath, inside: PurePosixPath) -> bool:
    """Files below the folder, and the settings in the folder above it."""
    return path.is_relative_to(inside) or (path.parent == inside.parent and path.name in SETTINGS)


def require_size(name: str, size: int, total: int) -> None:
    """Raise SourceRefused for one file or all of them together that are larger than migrations ever are."""
    if size > LARGEST_FILE:
        raise too_large(name, LARGEST_FILE)
    if total > LARGEST_TOTAL:
        raise too_large(_("All of it unpacked"), LARGEST_TOTAL)


def too_large(what: str, limit: int) -> SourceRefused:
    """What to raise for something of more than `limit` bytes."""
    return SourceRefused(
        _("%(what)s is larger than %(limit)d MB.") % {"what": what, "limit": limit // 1024**2}
    )


def write(root: Path, path: PurePosixPath, data: bytes) -> None:
    """Write a file whose path was found harmless. Raises SourceRefused where it is a file and a folder."""
    try:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            file.write(data)
    except OSError as bad:
        words = {"file": str(path), "why": bad.strerror}
        raise SourceRefused(_("%(file)s cannot be unpacked: %(why)s.") % words) from None


def below(root: Path, inside: PurePosixPath) -> Path:
    """The folder asked for. Raises SourceRefused where nothing was in it."""
    found = root / inside
    if not found.is_dir():
        raise SourceRefused(_("There is no folder %(folder)s in it.") % {"folder": inside})
    return found


def _single(root: Path) -> Path:
    """Archives of a repository hold one folder with everything in it."""
    entries = list(root.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else root
