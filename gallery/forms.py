"""What people fill in."""

from collections.abc import Callable
from typing import Any, TypeVar

from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Lower
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from gallery import changing
from gallery.errors import Refused
from gallery.history import Act
from gallery.import_models import Import
from gallery.ingest import background
from gallery.ingest.archive import check_archive
from gallery.ingest.folder import folder_below
from gallery.ingest.urls import MOST_URLS, faults, listed
from gallery.models import Asset, Collection
from gallery.uploads import Details

T = TypeVar("T")

_LONGEST_TAG = 100  # as in the model
_MOST_FAULTS_TOLD = 10


def collection_named(name: str, owner: User) -> Collection | None:
    """The collection of that name, whatever its case; made where there is none."""
    if not name:
        return None
    # `key__exact` and not `key`: what holds a lookup is not handed on to the new row
    named = Collection.objects.annotate(key=Lower("name"))
    return named.get_or_create(key__exact=Lower(Value(name)), defaults={"name": name, "owner": owner})[0]


class TagsField(forms.CharField):
    """Names, separated by commas."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=5000, required=False, **options)

    def clean(self, value: Any) -> list[str]:
        names = [" ".join(name.split()) for name in super().clean(value).split(",")]
        if any(len(name) > _LONGEST_TAG for name in names):
            raise forms.ValidationError(
                _("A tag has at most %(most)s characters. Separate tags by commas."), params={"most": _LONGEST_TAG}
            )
        return [name for name in names if name]


class JoinedInput(forms.TextInput):
    """Any number of values, as one with commas between."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> str:
        return ",".join(data.getlist(name))


class UploadForm(forms.Form):
    """What is said of every file of a batch."""

    collection = forms.CharField(max_length=200, required=False)
    tags = TagsField()

    def details(self, owner: User) -> Details:
        collection = collection_named(self.cleaned_data["collection"], owner)
        return Details(collection=collection, tags=self.cleaned_data["tags"])


class ImportForm(UploadForm):
    """A ZIP file, URLs one a line, or a folder of the server's for staff; and what is said of all that comes of it."""

    archive = forms.FileField(label=_("ZIP file"), required=False, allow_empty_file=True)  # that is no ZIP file
    urls = forms.CharField(label=_("URLs"), required=False, strip=False)  # or lines before the first would not count
    folder = forms.CharField(label=_("Folder"), max_length=300, required=False)

    def __init__(self, *args: Any, owner: User, **options: Any) -> None:
        super().__init__(*args, **options)
        self._owner = owner
        if not (owner.is_staff and settings.IMPORT_ROOT):
            del self.fields["folder"]

    def clean_archive(self) -> TemporaryUploadedFile | None:
        archive: TemporaryUploadedFile | None = self.cleaned_data["archive"]
        if archive:
            _check(check_archive, archive)
        return archive

    def clean_urls(self) -> list[str]:
        lines = self.cleaned_data["urls"].splitlines()
        urls = listed(lines)
        if len(urls) > MOST_URLS:
            raise forms.ValidationError(
                _("There are %(count)s URLs; at most %(most)s are taken at once."),
                params={"count": f"{len(urls):,}", "most": f"{MOST_URLS:,}"},
            )
        found = list(faults(lines))
        more = len(found) - _MOST_FAULTS_TOLD
        if found:
            raise forms.ValidationError(
                found[:_MOST_FAULTS_TOLD] + ([_("And %(count)s more.") % {"count": f"{more:,}"}] if more > 0 else [])
            )
        return urls

    def clean_folder(self) -> str:
        folder: str = self.cleaned_data["folder"]
        if folder:
            _check(folder_below, folder)
        return folder

    def clean(self) -> None:
        given = [name for name in ("archive", "urls", "folder") if name in self.errors or self.cleaned_data.get(name)]
        if len(given) != 1:
            raise forms.ValidationError([_("One at a time, please."), self._choices] if given else self._choices)

    @property
    def _choices(self) -> str:
        if "folder" in self.fields:
            return gettext("Choose a ZIP file, or paste URLs, or choose a folder.")
        return gettext("Choose a ZIP file, or paste URLs.")

    @transaction.atomic
    def begin(self) -> Import:
        """Raises Refused, and then leaves no new collection either."""
        fields, details = self.cleaned_data, self.details(self._owner)
        if fields["archive"]:
            return background.begin_archive(fields["archive"], self._owner, details)
        if fields["urls"]:
            return background.begin_urls(fields["urls"], self._owner, details)
        return background.begin_folder(fields["folder"], self._owner, details)


def _check(check: Callable[[T], object], given: T) -> None:
    try:
        check(given)
    except Refused as refused:
        raise forms.ValidationError(refused.detail, refused.code) from None


class EditForm(UploadForm):
    """Of an asset. Tags come as one text, or as one a value: those kept, and those typed."""

    title = forms.CharField(max_length=300)
    tags = TagsField(widget=JoinedInput)

    def clean_title(self) -> str:
        """One line: the field may be shown on several, and what is pasted there may have breaks."""
        return " ".join(self.cleaned_data["title"].split())

    @transaction.atomic
    def save(self, asset: Asset, act: Act) -> None:
        own = Asset.objects.filter(pk=asset.pk)
        changing.retitle(own, self.cleaned_data["title"], act)
        changing.move(own, collection_named(self.cleaned_data["collection"], act.user), act)
        changing.set_tags(asset, self.cleaned_data["tags"], act)
