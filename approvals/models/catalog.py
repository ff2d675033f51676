"""Services, their migrations as read from files, their targets and the history rows as last read."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from .people import Team, User


class Service(models.Model):
    """An application that owns a directory of Flyway migrations."""

    name = models.SlugField(max_length=80, unique=True)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="services")
    placeholders = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Environment(models.TextChoices):
    PRODUCTION = "production", _("Production")
    STAGING = "staging", _("Staging")


class Target(models.Model):
    """One PostgreSQL database of a service in one environment. Holds no credentials: the worker has those."""

    class Health(models.TextChoices):
        UNKNOWN = "unknown", _("never read")
        GOOD = "good", _("answers")
        FAILING = "failing", _("does not answer")

    name = models.SlugField(max_length=80, unique=True)
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="targets")
    environment = models.CharField(max_length=20, choices=Environment.choices)
    host = models.CharField(max_length=255)
    port = models.PositiveIntegerField(default=5432)
    dbname = models.CharField(max_length=63)
    history_schema = models.CharField(max_length=63, default="public")
    history_table = models.CharField(max_length=63, default="flyway_schema_history")
    search_path = models.CharField(max_length=255, default="public")
    owner_role = models.CharField(max_length=63)
    time_zone = models.CharField(max_length=64, default="UTC")
    placeholders = models.JSONField(default=dict, blank=True)
    has_marker = models.BooleanField(
        default=True,
        help_text=_("Off: the target refuses the marker schema and runs with a reduced guarantee."),
    )
    backup_limit_bytes = models.BigIntegerField(default=20 * 1024**3)
    rehearsal_target = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="rehearses_for",
        help_text=_("The staging target on whose server rehearsal clones of this one are made."),
    )
    system_identifier = models.CharField(max_length=40, blank=True)
    database_oid = models.BigIntegerField(null=True, blank=True)
    server_version = models.CharField(max_length=40, blank=True)
    health = models.CharField(max_length=10, choices=Health.choices, default=Health.UNKNOWN)
    health_text = models.TextField(blank=True)
    synced_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("service__name", "environment", "name")

    def __str__(self) -> str:
        return self.name

    @property
    def is_production(self) -> bool:
        return self.environment == Environment.PRODUCTION


class Committed(models.Model):
    """What a git repository says of a file: the commit that changed it last."""

    commit = models.CharField(max_length=64, blank=True)
    author = models.CharField(max_length=200, blank=True)
    committed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True


class Migration(Committed):
    """One Flyway file, by its identity: a version (V, B) or a description (R). Its text lives in
    revisions. Its commit is that of the file as it was imported last."""

    class Kind(models.TextChoices):
        VERSIONED = "V", _("versioned")
        REPEATABLE = "R", _("repeatable")
        BASELINE = "B", _("baseline")

    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="migrations")
    kind = models.CharField(max_length=1, choices=Kind.choices, default=Kind.VERSIONED)
    version = models.CharField(max_length=50, blank=True, help_text=_("As written, dots for underscores."))
    # Parts without trailing zeros: equal exactly where Flyway calls versions equal, ordered as Flyway orders.
    version_key = ArrayField(models.DecimalField(max_digits=50, decimal_places=0), default=list, blank=True)
    description = models.CharField(max_length=255, blank=True)
    script = models.CharField(max_length=1000)
    removed_at = models.DateTimeField(
        null=True, blank=True, help_text=_("Set when the file was missing from the last import.")
    )

    class Meta:
        ordering = ("service", "version_key", "kind", "description")
        constraints = [
            models.UniqueConstraint(
                fields=["service", "kind", "version_key"],
                condition=~Q(kind="R"),
                name="one_migration_per_version",
            ),
            models.UniqueConstraint(
                fields=["service", "description"],
                condition=Q(kind="R"),
                name="one_repeatable_per_description",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind}{self.version}" if self.version else f"R {self.description}"


class MigrationRevision(Committed):
    """The text of a migration as it was at one import. Never changed; a changed file is the next revision."""

    migration = models.ForeignKey(Migration, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    path = models.CharField(max_length=1000)
    sql = models.TextField()
    sha256 = models.CharField(max_length=64)
    checksum = models.IntegerField(help_text=_("Flyway's CRC32, signed."))
    analysis = models.JSONField(default=dict)
    risk = models.PositiveSmallIntegerField(null=True)
    imported_at = models.DateTimeField(auto_now_add=True)
    imported_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ("migration", "-number")
        constraints = [
            models.UniqueConstraint(fields=["migration", "number"], name="one_revision_per_number"),
        ]

    def __str__(self) -> str:
        return f"{self.migration} r{self.number}"


class HistoryRow(models.Model):
    """One row of the target's schema history table, as last read by the worker."""

    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="history")
    installed_rank = models.IntegerField()
    version = models.CharField(max_length=50, null=True)
    description = models.CharField(max_length=200)
    type = models.CharField(max_length=20)
    script = models.CharField(max_length=1000)
    checksum = models.IntegerField(null=True)
    installed_by = models.CharField(max_length=100)
    # Flyway stores a timestamp without zone, in the session zone of whoever migrated: shown as it stands.
    installed_on = models.CharField(max_length=40)
    execution_time = models.IntegerField()
    success = models.BooleanField()

    class Meta:
        ordering = ("target", F("installed_rank").desc())
        constraints = [
            models.UniqueConstraint(fields=["target", "installed_rank"], name="one_history_row_per_rank"),
        ]

    def __str__(self) -> str:
        return f"rank {self.installed_rank} of {self.target}"
