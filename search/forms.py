"""What a search is made of."""

from django import forms

from gallery.errors import Code, Refused
from gallery.models import AssetQuerySet
from search.query import DEFAULT_K, MAX_K, Wanted


class SearchForm(forms.Form):
    """A picture, or a stored asset by its id; how many to find, and what counts as one. The filters are gallery's."""

    image = forms.FileField(label="Picture", required=False, allow_empty_file=True)  # an empty one has its own message
    asset = forms.IntegerField(required=False, min_value=1)
    k = forms.IntegerField(label="How many", required=False, initial=DEFAULT_K, min_value=1, max_value=MAX_K)
    collapse = forms.BooleanField(label="Near-identical ones once", required=False)
    turned = forms.BooleanField(label="Turned and mirrored as well", required=False)

    def clean_k(self) -> int:
        return self.cleaned_data["k"] or DEFAULT_K

    @property
    def has_query(self) -> bool:
        return bool(self.files or self.data.get("asset"))

    @property
    def options(self) -> dict[str, str]:
        """What is asked for besides the picture, where it is valid and not as it is anyway, as addresses have it."""
        self.is_valid()  # what is not, is missing from cleaned_data
        given = {name: self.cleaned_data.get(name) for name in ("k", "collapse", "turned")}
        return {name: str(int(value)) for name, value in given.items() if value and value != self.fields[name].initial}

    def wanted(self, among: AssetQuerySet | None) -> Wanted:
        return Wanted(k=self.cleaned_data["k"], among=among, collapse=self.cleaned_data["collapse"])

    def check(self) -> None:
        """Raises Refused (invalid)."""
        for name, errors in self.errors.items():
            raise Refused(Code.INVALID, f"{self[name].label}: {' '.join(map(str, errors))}")
        if not self.has_query:
            raise Refused(Code.INVALID, "Drop, paste or choose a picture to search with.")
