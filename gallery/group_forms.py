"""What people fill in of collections and tags."""

from typing import Any

from django import forms
from django.db.models import QuerySet, Value
from django.db.models.functions import Lower
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gallery import arranging
from gallery.history import Act
from gallery.models import Asset, Collection, Tag


class CollectionForm(forms.ModelForm[Collection]):
    class Meta:
        model = Collection
        fields = ["name", "notes"]

    def clean_name(self) -> str:
        name = _tidy(self.cleaned_data["name"])
        if _named(Collection.objects.exclude(pk=self.instance.pk), name).exists():
            raise forms.ValidationError(_("There is a collection of that name already."))
        return name


class CoverForm(forms.Form):
    """An asset of the collection; none for the newest."""

    asset = forms.ModelChoiceField(Asset.objects.none(), required=False)

    def __init__(self, *args: Any, collection: Collection, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["asset"].queryset = collection.assets.all()  # type: ignore[attr-defined]


class PlaceForm(forms.Form):
    """Where an asset goes within its collection: next to another, or a step."""

    STEPS = {
        "start": arranging.move_to_start,
        "earlier": arranging.move_earlier,
        "later": arranging.move_later,
    }

    asset = forms.ModelChoiceField(Asset.objects.none())
    before = forms.ModelChoiceField(Asset.objects.none(), required=False)
    after = forms.ModelChoiceField(Asset.objects.none(), required=False)
    step = forms.ChoiceField(choices=[(step, step) for step in STEPS], required=False)

    def __init__(self, *args: Any, collection: Collection, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in ("asset", "before", "after"):
            self.fields[name].queryset = collection.assets.all()  # type: ignore[attr-defined]

    def clean(self) -> None:
        where = [name for name in ("before", "after", "step") if self.cleaned_data.get(name)]
        if self.errors or len(where) != 1:
            raise forms.ValidationError(_("It has left the collection meanwhile. Reload the page."))

    @property
    def told(self) -> str:
        return " ".join(str(error) for error in self.non_field_errors())

    def save(self, act: Act) -> None:
        asset, before, after, step = (self.cleaned_data[name] for name in ("asset", "before", "after", "step"))
        if before:
            arranging.put_before(asset, before, act)
        elif after:
            arranging.put_after(asset, after, act)
        else:
            self.STEPS[step](asset, act)


class TagForm(forms.ModelForm[Tag]):
    """A name for a tag. One that another has is no error: `taken_by` says which."""

    taken_by: Tag | None = None

    class Meta:
        model = Tag
        fields = ["name"]

    def clean_name(self) -> str:
        name = _tidy(self.cleaned_data["name"])
        if "," in name:
            raise forms.ValidationError(_("A tag holds no comma: commas separate tags."))
        self.taken_by = _named(Tag.objects.exclude(pk=self.instance.pk), name).first()
        if self.taken_by:
            raise forms.ValidationError(_("There is a tag of that name already."))
        return name


class MergeForm(forms.Form):
    into = forms.CharField(max_length=100, error_messages={"required": gettext_lazy("Give the name of a tag.")})

    def __init__(self, *args: Any, tag: Tag, **options: Any) -> None:
        super().__init__(*args, **options)
        self._tag = tag

    def clean_into(self) -> Tag:
        name = _tidy(self.cleaned_data["into"])
        other: Tag | None = _named(Tag.objects.exclude(pk=self._tag.pk), name).first()
        if other is None:
            raise forms.ValidationError(_("There is no other tag of that name."))
        return other


def _tidy(name: str) -> str:
    return " ".join(name.split())


def _named(rows: QuerySet[Any], name: str) -> QuerySet[Any]:
    """By the database's idea of case, as its constraint has it."""
    named: QuerySet[Any] = rows.alias(key=Lower("name")).filter(key=Lower(Value(name)))
    return named
