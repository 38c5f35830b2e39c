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

from gallery.errors import Refused
from gallery.ingest import background
from gallery.ingest.archive import check_archive
from gallery.ingest.folder import folder_below
from gallery.ingest.urls import MOST_URLS, faults, listed
from gallery.models import Asset, Collection, Import, Tag
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


class UploadForm(forms.Form):
    """What is said of every file of a batch."""

    collection = forms.CharField(max_length=200, required=False)
    tags = forms.CharField(max_length=1000, required=False)

    def clean_tags(self) -> list[str]:
        names = [" ".join(name.split()) for name in self.cleaned_data["tags"].split(",")]
        if any(len(name) > _LONGEST_TAG for name in names):
            raise forms.ValidationError(f"A tag has at most {_LONGEST_TAG} characters. Separate tags by commas.")
        return [name for name in names if name]

    def details(self, owner: User) -> Details:
        collection = collection_named(self.cleaned_data["collection"], owner)
        return Details(collection=collection, tags=self.cleaned_data["tags"])


class ImportForm(UploadForm):
    """A ZIP file, URLs one a line, or a folder of the server's for staff; and what is said of all that comes of it."""

    archive = forms.FileField(label="ZIP file", required=False, allow_empty_file=True)  # that is no ZIP file
    urls = forms.CharField(label="URLs", required=False, strip=False)  # or lines before the first would not count
    folder = forms.CharField(label="Folder", max_length=300, required=False)

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
            raise forms.ValidationError(f"There are {len(urls):,} URLs; at most {MOST_URLS:,} are taken at once.")
        found = list(faults(lines))
        more = len(found) - _MOST_FAULTS_TOLD
        if found:
            raise forms.ValidationError(found[:_MOST_FAULTS_TOLD] + ([f"And {more:,} more."] if more > 0 else []))
        return urls

    def clean_folder(self) -> str:
        folder: str = self.cleaned_data["folder"]
        if folder:
            _check(folder_below, folder)
        return folder

    def clean(self) -> None:
        given = [name for name in ("archive", "urls", "folder") if name in self.errors or self.cleaned_data.get(name)]
        if len(given) != 1:
            several = "One at a time, please: " if given else ""
            raise forms.ValidationError(f"{several}Choose a ZIP file, or paste URLs{self._or_a_folder}.")

    @property
    def _or_a_folder(self) -> str:
        return ", or choose a folder" if "folder" in self.fields else ""

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
    title = forms.CharField(max_length=300)

    field_order = ["title", "collection", "tags"]

    @classmethod
    def of(cls, asset: Asset) -> "EditForm":
        collection = asset.collection.name if asset.collection else ""
        tags = ", ".join(tag.name for tag in asset.tags.all())
        return cls(initial={"title": asset.title, "collection": collection, "tags": tags})

    @transaction.atomic
    def save(self, asset: Asset, user: User) -> None:
        asset.title = self.cleaned_data["title"]
        asset.collection = collection_named(self.cleaned_data["collection"], user)
        asset.save(update_fields=["title", "collection"])
        asset.tags.set(Tag.objects.named(self.cleaned_data["tags"]))


class CollectionForm(forms.ModelForm[Collection]):
    class Meta:
        model = Collection
        fields = ["name"]

    def clean_name(self) -> str:
        name = " ".join(self.cleaned_data["name"].split())
        named = Collection.objects.annotate(key=Lower("name")).filter(key=Lower(Value(name)))
        if named.exclude(pk=self.instance.pk).exists():
            raise forms.ValidationError("There is a collection of that name already.")
        return name
