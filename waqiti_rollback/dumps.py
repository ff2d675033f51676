"""Where encrypted dumps rest, as Django's STORAGES wants to be told: a folder, or S3 by two settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FOLDER, S3 = "django.core.files.storage.FileSystemStorage", "storages.backends.s3.S3Storage"
# What each needs that nobody should have to know.
DEFAULTS: dict[str, dict[str, Any]] = {
    FOLDER: {"file_permissions_mode": 0o600, "directory_permissions_mode": 0o700},
    # A dump never takes another one's place; and beyond 16 MB it is fetched to disk, not into memory.
    S3: {"file_overwrite": False, "max_memory_size": 16_000_000},
}


def storage(backend: str, options: dict[str, Any], folder: str) -> dict[str, Any]:
    """The entry of STORAGES; `folder` is where a local folder is that no option names."""
    local = {"location": str(Path(folder).resolve() / "kept")} if backend == FOLDER else {}
    return {"BACKEND": backend, "OPTIONS": local | DEFAULTS.get(backend, {}) | options}
