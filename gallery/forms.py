"""What people fill in."""

from django import forms
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Lower

from gallery.models import Asset, Collection, Tag
from gallery.uploads import Details

_LONGEST_TAG = 100  # as in the model


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
