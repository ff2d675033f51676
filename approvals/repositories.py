"""Read migrations from a git repository: only from places that the installation allows, and never asking.

git is started as a program of its own, with no settings but these, no prompts, no hooks and one protocol.
Nothing is checked out: files are read as objects, so that neither links nor attributes come into play.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from .sources import (
    LARGEST_TOTAL,
    MOST_FILES,
    Commit,
    Source,
    SourceRefused,
    below,
    clean_folder,
    is_inside,
    require_size,
    too_large,
    wanted,
    write,
)

SCHEMES = ("https", "ssh", "http", "file")
LOOK_EVERY_S = 0.1
# All files that may be read, with their names; and a list of a million files is a list of no migrations.
LONGEST_ANSWER = LARGEST_TOTAL + 64 * 1024**2
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+@-]{0,199}")
# Nothing asks, nothing is read from the machine's or the user's settings, nothing but git itself is started.
ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "/bin/false",
    "SSH_ASKPASS": "/bin/false",
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oStrictHostKeyChecking=yes",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_COUNT": "0",
    "GIT_ALLOW_PROTOCOL": "",
    "LC_ALL": "C.UTF-8",
}
KEPT = ("PATH", "HOME", "SSH_AUTH_SOCK", "https_proxy", "http_proxy", "no_proxy", "SSL_CERT_FILE")


def require_allowed(url: str) -> str:
    """The scheme of a URL that may be read. Raises SourceRefused unless the setting IMPORT_GIT_URLS has it,
    or a part of its path that ends at a slash."""
    plain = _plain(url)
    for allowed in settings.IMPORT_GIT_URLS:
        start = _plain(allowed)
        if plain[:2] == start[:2] and f"{plain[2]}/".startswith(f"{start[2].rstrip('/')}/"):
            return plain[0]
    raise SourceRefused(
        _("%(url)s is not among the places that this installation imports from (setting IMPORT_GIT_URLS).")
        % {"url": url}
    )


def _plain(url: str) -> tuple[str, str, str]:
    """Scheme, host with port, and path. Raises SourceRefused for a URL that could mean something else."""
    text = f"file://{url}" if url.startswith("/") else url
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise SourceRefused(_("This is no URL.")) from None
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise SourceRefused(_("A URL with a name or password in it is not taken: it would be stored."))
    odd = not url.isprintable() or " " in url or "\\" in url or "%" in url or parts.query or parts.fragment
    if odd or parts.scheme not in SCHEMES or ".." in parts.path.split("/"):
        raise SourceRefused(_("%(url)r is no URL of a repository that can be read.") % {"url": url})
    host = f"{parts.username or ''}@{parts.hostname or ''}:{port or ''}"
    return parts.scheme, host, parts.path


def require_revision(revision: str) -> str:
    """A branch, tag or commit by name. Raises SourceRefused for what git could take for something else."""
    if not _REVISION.fullmatch(revision) or ".." in revision or "@{" in revision:
        raise SourceRefused(_("%(revision)r is no branch, tag or commit.") % {"revision": revision})
    return revision


@contextmanager
def in_repository(url: str, *, revision: str = "", folder: str = "") -> Iterator[Source]:
    """The files below `folder` as of `revision` (the default branch without one), each with its commit.

    Raises SourceRefused for a URL that is not allowed, a repository that does not answer in time or is too
    large, an unknown revision, and for links, submodules or sizes that no directory of migrations has.
    """
    scheme, inside = require_allowed(url), clean_folder(folder)
    asked = require_revision(revision) if revision else "HEAD"
    with tempfile.TemporaryDirectory(prefix="import-") as place:
        git = _Git(Path(place, "repository"), scheme)
        git.clone(url)
        head = git.commit(asked)
        root = Path(place, "files")
        root.mkdir()
        for path, data in git.files(head.id, inside):
            write(root, path, data)
        directory = below(root, inside)
        commits = {
            str(path.relative_to(inside)): each
            for path, each in git.last_commits(head.id, inside).items()
            if path.is_relative_to(inside)
        }
        yield Source(directory, url, head, commits)


def _commit(name: str, author: str, at: str) -> Commit:
    try:
        return Commit(name, "".join(filter(str.isprintable, author))[:200], datetime.fromisoformat(at))
    except ValueError:
        raise SourceRefused(_("The date of the commit %(name)s can't be read.") % {"name": name}) from None


class _GitFailed(SourceRefused):
    """git ended with an error; the message is git's."""


class _Git:
    """git on one bare repository, with one allowed protocol, until its time or its room is over."""

    def __init__(self, repository: Path, scheme: str) -> None:
        self.repository = repository
        self.environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.environment |= ENVIRONMENT | {"GIT_ALLOW_PROTOCOL": scheme}
        self.until = time.monotonic() + settings.IMPORT_GIT_SECONDS

    def clone(self, url: str) -> None:
        options = ["--bare", "--quiet", "--no-local", "--template=", "-c", "core.hooksPath=/dev/null"]
        options += ["-c", "http.followRedirects=false"]  # to where nobody allowed it
        self._run("clone", *options, "--", url, str(self.repository), inside=False)

    def commit(self, revision: str) -> Commit:
        """The commit that a branch, tag or commit's name means."""
        try:
            found = self._run(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
            )
        except _GitFailed:
            raise SourceRefused(_("The repository has no revision %(name)s.") % {"name": revision}) from None
        name = found.decode().strip()
        said = self._run("log", "-1", "--format=%an <%ae>%x00%cI", name).decode("utf-8", "replace")
        author, _nul, at = said.rstrip("\n").partition("\0")
        return _commit(name, author, at)

    def files(self, commit: str, inside: PurePosixPath) -> Iterator[tuple[PurePosixPath, bytes]]:
        """What is wanted of the commit's tree, each file with its bytes."""
        listed = self._run("ls-tree", "-r", "-l", "-z", "--full-tree", commit).split(b"\0")
        chosen: list[tuple[PurePosixPath, str, int]] = []
        total = 0
        for line in filter(None, listed):
            facts, _tab, raw = line.partition(b"\t")
            mode, _kind, name, size = facts.decode().split()
            path = PurePosixPath(os.fsdecode(raw))
            if not wanted(path, inside):
                continue
            if not is_inside(str(path)) or mode not in ("100644", "100755"):
                words = {"file": str(path).encode("utf-8", "backslashreplace").decode()}
                raise SourceRefused(
                    _("%(file)s is a link or a submodule; only plain files are read.") % words
                )
            total += int(size)
            require_size(str(path), int(size), total)
            chosen.append((path, name, int(size)))
        if len(chosen) > MOST_FILES:
            raise SourceRefused(_("The folder holds more than %(most)d files.") % {"most": MOST_FILES})
        yield from self._read(chosen)

    def _read(self, chosen: list[tuple[PurePosixPath, str, int]]) -> Iterator[tuple[PurePosixPath, bytes]]:
        asked = "".join(f"{name}\n" for _path, name, _size in chosen).encode()
        data = self._run("cat-file", "--batch", stdin=asked)
        start = 0
        for path, _name, size in chosen:
            begin = data.index(b"\n", start) + 1
            yield path, data[begin : begin + size]
            start = begin + size + 1

    def last_commits(self, commit: str, inside: PurePosixPath) -> dict[PurePosixPath, Commit]:
        """For each path below the folder the newest commit that touched it."""
        # No path begins with a slash: what does is a commit, whatever is in the names of files and people.
        words = ["--no-renames", "--name-only", "-z", "--format=%x00//%H%x00%an <%ae>%x00%cI"]
        place = ["--", f":(top,literal){inside}"] if inside.parts else []
        found: dict[PurePosixPath, Commit] = {}
        parts = iter(self._run("log", *words, commit, *place).decode("utf-8", "replace").split("\0"))
        made = None
        for part in parts:
            name = part.strip("\n")
            if name.startswith("//"):
                made = _commit(name[2:], next(parts, ""), next(parts, ""))
            elif name and made is not None:
                found.setdefault(PurePosixPath(name), made)
        return found

    def _run(self, *arguments: str, stdin: bytes = b"", inside: bool = True) -> bytes:
        """Standard output. Raises SourceRefused with git's own last line, or where time or room is over."""
        where = ["--git-dir", str(self.repository)] if inside else []
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            given.write(stdin)
            given.seek(0)
            try:
                process = subprocess.Popen(
                    ["git", *where, *arguments],
                    stdin=given,
                    stdout=out,
                    stderr=err,
                    env=self.environment,
                    start_new_session=True,
                )
            except FileNotFoundError:
                raise SourceRefused(_("git is not installed where imports run.")) from None
            with process:
                try:
                    self._watch(process, out, err)
                except BaseException:
                    with suppress(ProcessLookupError):  # it ended, and was looked at too late
                        os.killpg(process.pid, signal.SIGKILL)  # ssh and others that git started, too
                    raise
            if process.returncode:
                said = _whole(err).decode("utf-8", "replace").strip().splitlines() or [_("no reason given")]
                why = said[-1].removeprefix("fatal: ").rstrip(".")
                raise _GitFailed(_("git refused: %(why)s.") % {"why": why})
            return _whole(out)

    def _watch(self, process: subprocess.Popen[bytes], *written: IO[bytes]) -> None:
        """Wait until git ends. Raises SourceRefused as soon as its time is over, or what it writes too large:
        a small repository may unfold into a list of files without end."""
        while process.returncode is None:
            left = self.until - time.monotonic()
            try:
                process.wait(max(min(left, LOOK_EVERY_S), 0))
            except subprocess.TimeoutExpired:
                if left <= LOOK_EVERY_S:
                    words = {"n": settings.IMPORT_GIT_SECONDS}
                    raise SourceRefused(_("The repository took more than %(n)d seconds.") % words) from None
            if any(os.fstat(each.fileno()).st_size > LONGEST_ANSWER for each in written):
                raise too_large(_("What git says of the repository"), LONGEST_ANSWER)
            if _size(self.repository) > (limit := settings.IMPORT_GIT_MEGABYTES * 1024**2):
                raise too_large(_("The repository"), limit)


def _whole(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _size(directory: Path) -> int:
    """Bytes of all files below it, while somebody writes there: what is gone again counts nothing."""
    total = 0
    for folder, _folders, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total
