"""What every embedded server has: a directory of its own with its port, its password and its log."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO

from .places import HOST, free_port, port_is_free

START_SECONDS = 60.0
STOP_SECONDS = 30.0
Say = Callable[[str], None]


def quiet(_message: str) -> None:
    """Say nothing."""


class Server:
    """A server below `directory`; nothing happens on disk before its port or password is asked for."""

    title = "The server"

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory.resolve() / name
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What the server wrote since its last start; the time before that is in `server.log.old`."""
        return self.directory / "server.log"

    @property
    def port(self) -> int:
        """The port it listens on, or would listen on if the port is still free at the next start."""
        note = self.directory / "port"
        if not note.exists():
            self.change_port()
        return int(note.read_text())

    @property
    def password(self) -> str:
        """Random per server, in a file that only we can read."""
        note = self.directory / "password"
        if not note.exists():
            write_secret(note, secrets.token_urlsafe(24))
        return note.read_text()

    def change_port(self) -> None:
        """Choose and note another free port, for the next start."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "port").write_text(str(free_port()))

    def leave_taken_port(self) -> None:
        """Choose another port if something listens on the noted one."""
        if not port_is_free(self.port):
            self.change_port()

    def open_log(self) -> IO[bytes]:
        """Begin a new log, keeping the last one."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.old"))
        return self.log.open("wb")

    def log_tail(self) -> str:
        """The last lines of the log and where to read the rest: what an error message ends with."""
        lines = self.log.read_text(errors="replace").splitlines()[-12:] if self.log.exists() else []
        return "\n".join([*lines, f"(from {self.log})"])

    def announce(self, say: Say, noted_port: int) -> None:
        """Say where it answers, and why not where it answered before."""
        taken = "" if self.port == noted_port else f" (port {noted_port} is in use by another program)"
        say(f"{self.title} answers on {HOST}:{self.port}{taken}")


def write_secret(path: Path, secret: str) -> None:
    """Write a file that only its owner can read, at no moment readable by others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret)
