"""Ask for an import as a task, and do it: an archive that was handed in, or a repository that is allowed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from io import BytesIO

from django.utils.translation import gettext as _

from . import audit, catalog, jobs, repositories, sources
from .errors import Denied, Refused
from .models import ImportRequest, ImportRun, ImportToken, Job, Service, User


def ask(
    service: Service,
    *,
    actor: User | None,
    token: ImportToken | None = None,
    archive: bytes | None = None,
    source: str,
    revision: str = "",
    folder: str = "",
) -> ImportRequest:
    """Ask the worker to import a .zip (`archive`, `source` is its name) or a git repository (its URL).

    `actor` None is the pipeline that holds `token`. Raises Denied for anybody but an engineer of the owning
    team or an admin; Refused for an archive that is too large, and for a URL, revision or folder that may not
    be read.
    """
    catalog.require_importer(service, actor, token=token, action="import.requested")
    with audit.unit_of_work("import.requested", actor=actor) as facts:
        sources.clean_folder(folder)
        if archive is None:
            repositories.require_allowed(source)
            revision = revision and repositories.require_revision(revision)
        elif len(archive) > sources.LARGEST_ARCHIVE:
            raise sources.too_large(_("The archive"), sources.LARGEST_ARCHIVE)
        request = ImportRequest.objects.create(
            service=service,
            by=actor,
            token=token,
            archive=archive,
            source=source[:500],
            revision=revision,
            folder=folder,
        )
        facts |= {"service": service.name, "source": request.source, "revision": revision, "folder": folder}
        if token is not None:
            facts["token"] = token.pk
        jobs.ask(Job.Kind.IMPORT, subject=request.pk, actor=actor)
    return request


def job_of(request: ImportRequest) -> Job | None:
    """Its job; while that runs its sentence says how far it is."""
    return jobs.latest(Job.Kind.IMPORT, request.pk)


def job(job: Job) -> str:
    """Do what the job's request asks for, once. Returns a sentence for whoever asked; raises Refused."""
    request = ImportRequest.objects.select_related(
        "service", "by", "token__service", "token__made_by", "run"
    ).get(pk=job.subject)
    if request.run is not None:
        return _("Imported already.")
    jobs.tell(job, _("Reading %(source)s.") % {"source": request.source})

    def progress(done: int, total: int) -> None:
        jobs.tell(job, _("%(done)d of %(total)d new files analysed.") % {"done": done, "total": total})

    try:
        with _opened(request) as source:
            run = catalog.import_source(
                request.service, source, actor=request.by, token=request.token, progress=progress
            )
    except (Denied, Refused):  # it will be no better next time
        ImportRequest.objects.filter(pk=request.pk).update(archive=None)
        raise
    ImportRequest.objects.filter(pk=request.pk).update(run=run, archive=None)
    return sentence(run)


def _opened(request: ImportRequest) -> AbstractContextManager[sources.Source]:
    if request.archive is None:
        return repositories.in_repository(request.source, revision=request.revision, folder=request.folder)
    return sources.in_archive(BytesIO(bytes(request.archive)), request.source, folder=request.folder)


def sentence(run: ImportRun) -> str:
    """What an import did, in one sentence."""
    counts = {name: run.summary.get(name, 0) for name in ("files", "new", "changed", "unchanged", "removed")}
    said = _(
        "%(files)d files: %(new)d new, %(changed)d changed, %(unchanged)d unchanged, %(removed)d removed."
    )
    problems = len(run.problems)
    return said % counts + (_(" Problems: %(n)d.") % {"n": problems} if problems else "")
