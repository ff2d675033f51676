"""Forms of imports: an archive, a repository, a token for a pipeline; and the filters of their lists."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as now
from django.utils.translation import gettext_lazy as _

from approvals import sources

from . import PortalForm
from .catalog import Filter, choice

KINDS = {
    "new": _("New"),
    "changed": _("Changed"),
    "removed": _("Removed"),
    "returned": _("There again"),
    "scripts": _("Rollback scripts"),
}
# The same, of one file.
KIND = KINDS | {"scripts": _("Rollback script")}


def _folder() -> forms.CharField:
    return forms.CharField(
        label=_("Folder"),
        required=False,
        max_length=sources.LONGEST_FOLDER,
        help_text=_("Where the migrations are in it, such as db/migration. Empty: at the top."),
    )


class ArchiveForm(PortalForm):
    """A .zip with the migrations."""

    prefix = "zip"

    archive = forms.FileField(
        label=_("Archive"),
        widget=forms.FileInput(attrs={"accept": ".zip,application/zip"}),
        help_text=_("A .zip of at most 64 MB. What it holds is read as text, and nothing of it is run."),
    )
    folder = _folder()

    def clean_archive(self) -> UploadedFile[Any]:
        """An archive that is too large is not read into memory."""
        archive: UploadedFile[Any] = self.cleaned_data["archive"]
        if archive.size is None or archive.size > sources.LARGEST_ARCHIVE:
            raise ValidationError(str(sources.too_large(now("The archive"), sources.LARGEST_ARCHIVE)))
        return archive


class RepositoryForm(PortalForm):
    """A git repository at a revision."""

    prefix = "git"

    source = forms.CharField(
        label=_("Repository"),
        max_length=500,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    revision = forms.CharField(
        label=_("Branch, tag or commit"),
        required=False,
        max_length=200,
        help_text=_("Empty: the branch that the repository names as its own."),
    )
    folder = _folder()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["source"].help_text = allowed_words()


class TokenForm(PortalForm):
    """What a pipeline may import with its token."""

    name = forms.CharField(
        label=_("Name"),
        max_length=80,
        help_text=_("Which pipeline it is for, such as “main on every push”."),
    )
    source = forms.CharField(
        label=_("Repository"),
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    folder = _folder()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not settings.IMPORT_GIT_URLS:  # then a pipeline can only hand in a .zip
            del self.fields["source"]
            return
        hands_in = now("Empty: the pipeline hands in a .zip itself.")
        self.fields["source"].help_text = f"{hands_in} {allowed_words()}"


def allowed_words() -> str:
    """From where this installation imports, for people."""
    if not settings.IMPORT_GIT_URLS:
        return now("This installation reads no repositories: the setting IMPORT_GIT_URLS names none.")
    places = ", ".join(settings.IMPORT_GIT_URLS)
    return now("This installation reads from: %(places)s.") % {"places": places}


class RunFilter(Filter):
    """Imports by source, commit or author."""

    show = choice(
        _("Show"),
        [("", _("all")), ("differences", _("with differences")), ("problems", _("with something wrong"))],
    )
    sort = choice(_("Order"), [("", _("newest first")), ("oldest", _("oldest first"))])


class DifferenceFilter(Filter):
    """Files that an import found otherwise than the one before."""

    show = choice(_("Show"), [("", _("all")), *KINDS.items()])
