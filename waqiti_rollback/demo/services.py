"""What the demo consists of: three services, their migrations as files, and the targets they run on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class DemoService:
    """A service: which team owns it, which role owns its objects, after which version rows come in."""

    name: str
    team: str
    owner_role: str
    filled_after: str

    @property
    def migrations(self) -> Path:
        """The directory with its V, U and R files."""
        return HERE / "services" / self.name

    @property
    def rows(self) -> Path:
        """SQL that fills its tables; the setting demo.size says how many rows the largest get."""
        return HERE / "data" / f"{self.name}.sql"


@dataclass(frozen=True)
class DemoTarget:
    """A target: its cluster is its environment's. `newest` is the last version that is applied there.

    `alter_system` names the server's settings that the service's owner was allowed to change, and
    `backup_limit_bytes` is up to where it is dumped in full, if not up to what every target is.
    """

    name: str
    service: DemoService
    environment: str
    newest: str
    rows: int
    rehearses_on: str | None = None
    alter_system: tuple[str, ...] = ()
    backup_limit_bytes: int | None = None

    @property
    def database(self) -> str:
        """Databases of one cluster need different names; dashes would need quotes."""
        return self.name.replace("-", "_")

    def size(self, size: str) -> int:
        """Rows in the largest tables: `rows`, or a hundredth (at least 100) where it must be quick."""
        return self.rows if size == "full" else max(100, self.rows // 100)


WALLET = DemoService("wallet-service", "payments", "wallet_owner", filled_after="7")
LEDGER = DemoService("ledger-service", "books", "ledger_owner", filled_after="001")
NOTIFICATIONS = DemoService("notification-service", "payments", "notification_owner", filled_after="1")
SERVICES = (WALLET, LEDGER, NOTIFICATIONS)

WALLET_PRODUCTION, WALLET_STAGING = "wallet-production", "wallet-staging"
WALLET_ARCHIVE = "wallet-archive"
LEDGER_PRODUCTION, LEDGER_STAGING, LEDGER_PREVIEW = "ledger-production", "ledger-staging", "ledger-preview"
SHARDS = tuple(f"notification-shard-{number}" for number in range(1, 7))
SERVER_SETTINGS = (
    "max_connections",
    "shared_buffers",
    "work_mem",
    "maintenance_work_mem",
    "effective_cache_size",
)
# Staging comes first: production names it as the server to rehearse on.
TARGETS = (
    DemoTarget(WALLET_STAGING, WALLET, "staging", "2025.11.27.001", 2_000),
    DemoTarget(LEDGER_STAGING, LEDGER, "staging", "999", 2_000, alter_system=SERVER_SETTINGS),
    DemoTarget(LEDGER_PREVIEW, LEDGER, "staging", "001", 1_000),
    DemoTarget(WALLET_PRODUCTION, WALLET, "production", "2025.11.25.001", 50_000, WALLET_STAGING),
    DemoTarget(LEDGER_PRODUCTION, LEDGER, "production", "001", 20_000, LEDGER_STAGING),
    # A limit so low that a small database stands for one of terabytes.
    DemoTarget(
        WALLET_ARCHIVE, WALLET, "production", "10", 1_000, WALLET_STAGING, backup_limit_bytes=400 * 1024
    ),
    *(DemoTarget(shard, NOTIFICATIONS, "staging", "2", 1_000) for shard in SHARDS),
)
BY_NAME = {target.name: target for target in TARGETS}
