"""What the next deployment does after a rollback, in Flyway's words, and whether its files are seen to.

Taking a migration back settles the database; the next `migrate` looks at the files. So every request says
what becomes of them, this module says what Flyway makes of that, and the service's imported directory is the
evidence that it was done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property

from django.utils import formats
from django.utils.translation import gettext as _

from . import chains, history, release
from .flyway.forecast import FileFate as Fate
from .flyway.forecast import Forecast, forecasts
from .flyway.rows import CorruptHistory, Rows
from .flyway.treatment import NotTreatable, Treatment
from .flyway.versions import Version
from .models import (
    FileFate,
    ImportRun,
    Migration,
    MigrationRevision,
    RollbackItem,
    RollbackRequest,
    RollbackTarget,
)


@dataclass(frozen=True)
class Foreseen:
    """What Flyway will do after the rollback: with `outOfOrder` or without, with these files.

    `forecast` is None where nothing can be foreseen, and `problem` says why: the history contradicts itself,
    or it cannot be treated in this way.
    """

    treatment: Treatment
    fate: Fate
    out_of_order: bool
    forecast: Forecast | None
    problem: str = ""

    @property
    def comes_back(self) -> bool:
        """Whether the next migrate would undo the rollback. To be said loudly."""
        return self.forecast is not None and self.forecast.comes_back

    @property
    def sentence(self) -> str:
        """For people."""
        return self.forecast.sentence if self.forecast else self.problem


@dataclass(frozen=True)
class Settled:
    """Whether the imported files show that the migration does not come back; since when, and how."""

    holds: bool
    sentence: str
    at: datetime | None = None


class NextDeployment:
    """One rollback's files and history, read once; ask it for any combination.

    Before the execution its effect on the history is foreseen too; afterwards the history has it already.
    `items` (with migration and revision), `rollback_target` (with target and service) and `rows` (of the
    target's history) spare reading them.
    """

    def __init__(
        self,
        rollback: RollbackRequest,
        *,
        items: Sequence[RollbackItem] | None = None,
        rollback_target: RollbackTarget | None = None,
        rows: Rows | None = None,
    ) -> None:
        self.rollback = rollback
        self._items, self._rollback_target, self._given_rows = items, rollback_target, rows
        # Without outOfOrder and with it, or why not; by treatment, fate and whether of the files as imported.
        self._forecasts: dict[tuple[Treatment, Fate, bool], tuple[Forecast, Forecast] | str] = {}

    def foresee(
        self,
        *,
        treatment: Treatment | None = None,
        fate: Fate | None = None,
        out_of_order: bool | None = None,
    ) -> Foreseen:
        """What Flyway will do if the release is as planned. What is not given is the request's own choice;
        one that is undecided keeps its files. outOfOrder is then as the service's settings say."""
        chosen = treatment or Treatment(self.rollback.history_treatment)
        what = fate or Fate(self.rollback.file_fate or Fate.KEPT)
        corrected = self._corrected if what is Fate.REPLACED else ()
        there = what is Fate.SUPERSEDED and bool(self._higher)  # no need to imagine one
        return self._foresee(
            self._with_files_of_items, chosen, what, out_of_order, corrected, imagine=not there
        )

    def foresee_imported(self, *, out_of_order: bool | None = None) -> Foreseen:
        """The same with the files as they were imported last, which may not be as planned yet."""
        treatment = Treatment(self.rollback.history_treatment)
        fate = Fate.KEPT if self._as_applied else Fate.REPLACED if self._corrected else Fate.REMOVED
        return self._foresee(self.files, treatment, fate, out_of_order, self._corrected)

    def every_combination(self) -> list[Foreseen]:
        """Each treatment with each fate that a request can have, with outOfOrder and without."""
        return [
            self.foresee(treatment=treatment, fate=Fate(fate), out_of_order=order)
            for treatment in Treatment
            for fate in FileFate.values
            if fate
            for order in (False, True)
        ]

    @cached_property
    def settled(self) -> Settled:
        """Is the migration's file taken care of, in the way that the request says? The last import tells."""
        fate, run = FileFate(self.rollback.file_fate), self.last_import
        if fate == FileFate.UNDECIDED:
            return Settled(False, _("Nobody has decided yet what becomes of the file."))
        if run is None:
            return Settled(False, _("The service's files were never imported."))
        wrong, files = self._not_as_decided(fate)
        if wrong:
            return Settled(False, f"{_import(run)} {wrong % {'files': files}}")
        return Settled(True, f"{_import(run)} {self._as_decided(fate)}", run.at)

    def _not_as_decided(self, fate: FileFate) -> tuple[str, str]:
        """What the imported files lack, as the end of a sentence, and which files it is about."""
        corrected = {file.name.version for file in self._corrected}
        missing = [version for version in self._versions if version not in corrected]
        if self._as_applied:
            return _("still has %(files)s as it was applied."), _paths(self._as_applied)
        if fate == FileFate.REPLACED and missing:
            return _("has no corrected file of %(files)s."), ", ".join(f"V{each}" for each in missing)
        if fate != FileFate.REPLACED and self._corrected:
            return _("still has %(files)s, changed but not removed."), _paths(self._corrected)
        if fate == FileFate.SUPERSEDED and not self._higher:
            return _("has no file of a higher version in its place."), ""
        return "", ""

    def _as_decided(self, fate: FileFate) -> str:
        if fate == FileFate.REPLACED:
            return _("has other contents than were applied: %(files)s.") % {"files": _paths(self._corrected)}
        if fate == FileFate.SUPERSEDED:
            return _("has %(files)s in place of it.") % {"files": self._higher}
        return _("no longer has the file.")

    # What is read, each once

    @cached_property
    def items(self) -> list[RollbackItem]:
        if self._items is not None:
            return list(self._items)
        return list(self.rollback.items.select_related("migration", "revision").order_by("position"))

    @cached_property
    def rollback_target(self) -> RollbackTarget:
        found = self._rollback_target
        return found or self.rollback.representative()

    @cached_property
    def files(self) -> list[release.StoredFile]:
        """As imported last."""
        return release.files_of(self.rollback_target.target)

    @cached_property
    def last_import(self) -> ImportRun | None:
        return release.last_import(self.rollback.service)

    @cached_property
    def deployment(self) -> release.Deployment:
        """How Flyway is run, as far as the imported settings tell."""
        return release.deployment_of(self.last_import)

    @cached_property
    def _versions(self) -> list[Version]:
        return [Version.parse(item.migration.version) for item in self.items]

    @cached_property
    def _files_of_items(self) -> list[release.StoredFile]:
        """What the last import has of the versions that are taken back."""
        migrations = [item.migration_id for item in self.items]
        found = release.newest_revisions(self.rollback.service_id).filter(migration__in=migrations)
        return [release.stored(revision) for revision in found]

    @cached_property
    def _as_applied(self) -> list[release.StoredFile]:
        """Of these the ones with the checksum that was applied: they would come back."""
        applied = {Version.parse(pin["version"]): pin["checksum"] for pin in self.rollback_target.pins}
        return [
            file
            for file in self._files_of_items
            if file.name.version and file.checksum == applied.get(file.name.version)
        ]

    @cached_property
    def _corrected(self) -> list[release.StoredFile]:
        """Of these the ones with other contents than were applied."""
        return [file for file in self._files_of_items if file not in self._as_applied]

    @cached_property
    def _with_files_of_items(self) -> list[release.StoredFile]:
        """The files as if none of those taken back had been removed or changed yet."""
        taken_back = {file.path for file in self._files_of_items}
        others = [file for file in self.files if file.path not in taken_back]
        return [*others, *(_applied_file(item.revision, item) for item in self.items)]

    @cached_property
    def _higher(self) -> str:
        """The lowest file above everything that the target's history knows; empty where there is none."""
        known = [Version.parse(row.version) for row in self._rows if row.version]
        found = Migration.objects.filter(
            service=self.rollback.service_id, kind=Migration.Kind.VERSIONED, removed_at=None
        )
        if known:
            found = found.filter(version_key__gt=list(max(known).parts))
        return found.order_by("version_key").values_list("script", flat=True).first() or ""

    @cached_property
    def _rows(self) -> Rows:
        if self._given_rows is not None:
            return self._given_rows
        return history.rows_of(self.rollback_target.target)

    @cached_property
    def _unfilled(self) -> dict[tuple[str, int], str]:
        """Which files that a migrate may run have a placeholder without a value on the target, by path and
        checksum: those that are not applied, and those that are taken back."""
        applied = chains.standing_in(self._rows).keys() - {each.parts for each in self._versions}
        asked = {
            (file.path, file.checksum)
            for file in (*self.files, *self._with_files_of_items)
            if file.name.version and file.name.version.parts not in applied
        }
        return release.unfilled_files(self.rollback_target.target, asked)

    def _marked(self, files: Sequence[release.StoredFile]) -> list[release.StoredFile]:
        """The same files, with what is known of their placeholders."""
        missing = self._unfilled
        if not missing:
            return list(files)
        found = (missing.get((file.path, file.checksum)) for file in files)
        return [replace(file, unfilled=why) if why else file for file, why in zip(files, found, strict=True)]

    def _foresee(
        self,
        files: Sequence[release.StoredFile],
        treatment: Treatment,
        fate: Fate,
        out_of_order: bool | None,
        replacements: Sequence[release.StoredFile],
        *,
        imagine: bool = True,
    ) -> Foreseen:
        order = self.deployment.out_of_order if out_of_order is None else out_of_order
        key = treatment, fate if imagine else Fate.REMOVED, files is self.files
        if key not in self._forecasts:
            self._forecasts[key] = self._forecast(files, treatment, key[1], replacements)
        found = self._forecasts[key]
        if isinstance(found, str):
            return Foreseen(treatment, fate, order, None, found)
        return Foreseen(treatment, fate, order, found[order])

    def _forecast(
        self,
        files: Sequence[release.StoredFile],
        treatment: Treatment,
        fate: Fate,
        replacements: Sequence[release.StoredFile],
    ) -> tuple[Forecast, Forecast] | str:
        try:
            return forecasts(
                self._marked(files),
                self._rows,
                self._versions,
                treatment=treatment,
                fate=fate,
                patterns=self.deployment.patterns,
                validate_on_migrate=self.deployment.validate_on_migrate,
                schema=self.rollback_target.target.history_schema,
                replacements=self._marked(replacements),
            )
        except (NotTreatable, CorruptHistory) as error:
            return _("Nothing can be foreseen: %(error)s.") % {"error": error}


def _applied_file(revision: MigrationRevision, item: RollbackItem) -> release.StoredFile:
    revision.migration = item.migration
    return release.stored(revision)


def _paths(files: Sequence[release.StoredFile]) -> str:
    return ", ".join(file.path for file in files)


def _import(run: ImportRun) -> str:
    """“The import of 22 Nov 2025, 12:00 UTC (commit 1a2b3c4)”."""
    at = formats.date_format(run.at.astimezone(UTC), "j M Y, H:i")
    words = {"at": f"{at} UTC", "commit": run.commit[:7]}
    if run.commit:
        return _("The import of %(at)s (commit %(commit)s)") % words
    return _("The import of %(at)s") % words
