"""What a search is made of."""

from collections.abc import Sequence
from typing import Any

from django import forms

from gallery.errors import Code, Refused
from gallery.ingest.fetch import MAX_URL
from gallery.models import AssetQuerySet
from search.comparing import Side
from search.query import DEFAULT_K, MAX_K, Wanted


class QueryForm(forms.Form):
    """A picture, or a stored asset by its id; how many to find."""

    image = forms.FileField(label="Picture", required=False, allow_empty_file=True)  # an empty one has its own message
    asset = forms.IntegerField(required=False, min_value=1)
    k = forms.IntegerField(label="How many", required=False, initial=DEFAULT_K, min_value=1, max_value=MAX_K)

    def clean_k(self) -> int:
        return self.cleaned_data["k"] or DEFAULT_K

    @property
    def has_query(self) -> bool:
        return bool(self.files or self.data.get("asset"))

    @property
    def has_source(self) -> bool:
        """Whether there is a picture to search with, by whatever name."""
        return self.has_query

    def check(self) -> None:
        """Raises Refused (invalid)."""
        for name, errors in self.errors.items():
            raise Refused(Code.INVALID, f"{self[name].label}: {' '.join(map(str, errors))}")
        if not self.has_source:
            raise Refused(Code.INVALID, "Drop, paste or choose a picture to search with.")


class SearchForm(QueryForm):
    """And what counts as one. The filters are gallery's. An address is no query: a link must not make us fetch."""

    url = forms.CharField(label="Address", max_length=MAX_URL, required=False)
    collapse = forms.BooleanField(label="Near-identical ones once", required=False)
    turned = forms.BooleanField(label="Turned and mirrored as well", required=False)

    @property
    def has_source(self) -> bool:
        return self.has_query or bool(self.data.get("url", "").strip())

    @property
    def options(self) -> dict[str, str]:
        """What is asked for besides the picture, where it is valid and not as it is anyway, as addresses have it."""
        self.is_valid()  # what is not, is missing from cleaned_data
        given = {name: self.cleaned_data.get(name) for name in ("k", "collapse", "turned")}
        return {name: str(int(value)) for name, value in given.items() if value and value != self.fields[name].initial}

    def wanted(self, among: AssetQuerySet | None) -> Wanted:
        return Wanted(k=self.cleaned_data["k"], among=among, collapse=self.cleaned_data["collapse"])


class CompareForm(QueryForm):
    """And the two ways to search, by their keys."""

    left = forms.ChoiceField(label="One way")
    right = forms.ChoiceField(label="The other")
    blind = forms.BooleanField(label="Tell which is which only when marked", required=False)

    def __init__(self, *args: Any, sides: Sequence[Side], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sides = {side.key: side for side in sides}
        for name in ("left", "right"):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)  # noqa: S101 (it stands above)
            field.choices = [(side.key, side.name) for side in sides]

    def clean(self) -> None:
        if self.cleaned_data.get("left") and self.cleaned_data["left"] == self.cleaned_data.get("right"):
            self.add_error("right", "Choose another than the one it is compared with.")

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
