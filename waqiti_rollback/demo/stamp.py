"""Remember by which migrations the portal's database was made: rewritten ones can't be caught up with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from .estate import ROOT

MIGRATIONS = ROOT / "approvals" / "migrations"


def write(stamp: Path) -> None:
    """Note that everything is loaded, and the digest of each migration file as it is now."""
    stamp.write_text(json.dumps(_digests(), indent=2) + "\n", encoding="utf-8")


def fits(stamp: Path) -> bool:
    """Whether every file noted is still the same; new ones may have been added, they can be migrated to."""
    noted = json.loads(stamp.read_text(encoding="utf-8"))
    return bool(noted) and noted.items() <= _digests().items()


def _digests() -> dict[str, str]:
    files = (path for path in sorted(MIGRATIONS.rglob("*")) if path.suffix in {".py", ".sql"})
    return {str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
