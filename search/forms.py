"""What a search is made of."""

from django import forms

from gallery.errors import Code, Refused
from search.query import DEFAULT_K, MAX_K


class SearchForm(forms.Form):
    """A picture, or a stored asset by its id; and how many to find. The filters are gallery's."""

    image = forms.FileField(label="Picture", required=False, allow_empty_file=True)  # an empty one has its own message
    asset = forms.IntegerField(required=False, min_value=1)
    k = forms.IntegerField(label="How many", required=False, initial=DEFAULT_K, min_value=1, max_value=MAX_K)

    def clean_k(self) -> int:
        return self.cleaned_data["k"] or DEFAULT_K

    @property
    def has_query(self) -> bool:
        return bool(self.files or self.data.get("asset"))

    def check(self) -> None:
        """Raises Refused (invalid)."""
        for name, errors in self.errors.items():
            raise Refused(Code.INVALID, f"{self[name].label}: {' '.join(map(str, errors))}")
        if not self.has_query:
            raise Refused(Code.INVALID, "Drop, paste or choose a picture to search with.")
