"""What a search is made of."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from gallery.errors import Code, Refused
from gallery.filters import labelled
from gallery.ingest.fetch import MAX_URL
from gallery.models import AssetQuerySet
from search.asked import Asked
from search.comparing import Side
from search.pictures import Region
from search.query import DEFAULT_K, MAX_K, Wanted
from search.query_models import KEY_PATTERN, SavedSearch

#: What to do where there is nothing to search with.
_NO_PICTURE = _("Drop, paste or choose a picture to search with.")


def _refuse_errors(form: forms.Form) -> None:
    """Raises Refused (invalid), which tells what is wrong with each field, where anything is."""
    if form.errors:
        raise Refused(Code.INVALID, " ".join(labelled(form, form.errors)))


class KeysField(forms.Field):
    """Any number of pictures, by their keys."""

    widget = forms.MultipleHiddenInput
    _key = forms.RegexField(rf"^(?:[0-9]{{1,18}}|{KEY_PATTERN})\Z")

    def to_python(self, value: Any) -> tuple[str, ...]:
        return tuple(dict.fromkeys(str(self._key.clean(key)) for key in value or [] if key))


class QueryForm(forms.Form):
    """A stored asset or a query picture to search with, by its key; how many to find."""

    asset = forms.IntegerField(label=_("Asset"), required=False, min_value=1)
    query = forms.RegexField(rf"^{KEY_PATTERN}\Z", label=_("Picture"), required=False)
    k = forms.IntegerField(label=_("How many"), required=False, initial=DEFAULT_K, min_value=1, max_value=MAX_K)

    def clean_k(self) -> int:
        return self.cleaned_data["k"] or DEFAULT_K

    @property
    def has_query(self) -> bool:
        return bool(self.data.get("asset") or self.data.get("query"))

    def check(self) -> None:
        """Raises Refused (invalid)."""
        _refuse_errors(self)
        if not self.has_query:
            raise Refused(Code.INVALID, str(_NO_PICTURE))

    @property
    def asked(self) -> Asked:
        """What the search is by, as far as it is valid."""
        self.is_valid()
        return Asked(str(self.cleaned_data.get("asset") or self.cleaned_data.get("query") or ""))


class SearchForm(QueryForm):
    """And what counts as one. The filters are gallery's."""

    crop = forms.CharField(label=_("Region"), required=False)
    plus = KeysField(label=_("More like"), required=False)
    minus = KeysField(label=_("Less like"), required=False)
    min_similarity = forms.FloatField(label=_("Similarity from"), required=False, min_value=0, max_value=1)
    collapse = forms.BooleanField(label=_("Near-identical ones once"), required=False)
    turned = forms.BooleanField(label=_("Turned and mirrored as well"), required=False)

    OPTIONS = ("k", "min_similarity", "collapse", "turned")

    def clean_crop(self) -> str:
        try:
            return str(Region.parse(self.cleaned_data["crop"])) if self.cleaned_data["crop"] else ""
        except Refused as refused:
            raise forms.ValidationError(refused.detail) from None

    @property
    def asked(self) -> Asked:
        first, given = super().asked, self.cleaned_data
        if not first:
            return first
        return replace(first, crop=given.get("crop", ""), plus=given.get("plus", ()), minus=given.get("minus", ()))

    @property
    def options(self) -> dict[str, str]:
        """What is asked for besides the picture, where it is valid and not as it is anyway, as addresses have it."""
        self.is_valid()  # what is not, is missing from cleaned_data
        given = {name: self.cleaned_data.get(name) for name in self.OPTIONS}
        return {name: f"{value:g}" for name, value in given.items() if value and value != self.fields[name].initial}

    def told(self, name: str) -> tuple[str, str]:
        """An option in force, for people to read: what it is, and its value where it has any but yes."""
        is_switch = isinstance(self.fields[name], forms.BooleanField)
        return str(self.fields[name].label), "" if is_switch else self.options[name]

    def wanted(self, among: AssetQuerySet | None) -> Wanted:
        asked = self.cleaned_data
        return Wanted(asked["k"], among, min_similarity=asked["min_similarity"], collapse=asked["collapse"])


class PictureForm(forms.Form):
    """A picture from outside to search with: a file, or the address of one."""

    image = forms.FileField(
        label=_("Picture"), required=False, allow_empty_file=True
    )  # an empty one has its own message
    url = forms.CharField(label=_("Address"), max_length=MAX_URL, required=False)
    #: The search to go on from, as its address has it, and whether the picture joins those of it.
    here = forms.CharField(max_length=10_000, required=False)
    join = forms.BooleanField(required=False)

    def check(self) -> None:
        """Raises Refused (invalid)."""
        _refuse_errors(self)
        if not (self.files or self.cleaned_data["url"]):
            raise Refused(Code.INVALID, str(_NO_PICTURE))


class SavedSearchForm(forms.ModelForm[SavedSearch]):
    """The name of a search that is saved."""

    class Meta:
        model = SavedSearch
        fields = ["name"]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        others = SavedSearch.objects.filter(owner=self.instance.owner_id).exclude(pk=self.instance.pk)
        if others.filter(name__iexact=name).exists():
            raise forms.ValidationError(_("You have a saved search of this name. Choose another."))
        return name


class CompareForm(QueryForm):
    """And the two ways to search, by their keys."""

    left = forms.ChoiceField(label=_("One way"))
    right = forms.ChoiceField(label=_("The other"))
    blind = forms.BooleanField(label=_("Tell which is which only when marked"), required=False)

    def __init__(self, *args: Any, sides: Sequence[Side], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sides = {side.key: side for side in sides}
        for name in ("left", "right"):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)  # noqa: S101 (it stands above)
            field.choices = [(side.key, side.name) for side in sides]

    def clean(self) -> None:
        if self.cleaned_data.get("left") and self.cleaned_data["left"] == self.cleaned_data.get("right"):
            self.add_error("right", _("Choose another than the one it is compared with."))

    @property
    def sides(self) -> tuple[Side, Side]:
        return self._sides[self.cleaned_data["left"]], self._sides[self.cleaned_data["right"]]

    @property
    def options(self) -> dict[str, str]:
        """What is asked for besides the picture, where it is valid, as addresses have it."""
        self.is_valid()  # what is not, is missing from cleaned_data
        given = {name: self.cleaned_data.get(name) for name in ("left", "right", "k", "blind")}
        return {name: str(value) for name, value in given.items() if value}


class MarkForm(forms.Form):
    """Which of two was the better for a picture; "none" takes back what was said."""

    better = forms.ChoiceField(choices=[(name, name) for name in ("left", "right", "alike", "none")])
