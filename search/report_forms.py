"""What reports are made of, and how they are looked at."""

from collections.abc import Iterable
from itertools import count
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.files import File
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext_lazy as _

from gallery.errors import Code, Refused
from gallery.ingest.fetch import MAX_URL
from search.report_making import MOST_ENTRIES
from search.verdicts import LEVELS, Verdict


class PicturesForm(forms.Form):
    """Files, and addresses of pictures, one a line."""

    urls = forms.CharField(label=_("Addresses"), required=False, max_length=MOST_ENTRIES * MAX_URL)
    #: Of the first, where they are a part of what was chosen.
    place = forms.IntegerField(required=False, min_value=0, max_value=1_000_000)

    def clean_urls(self) -> list[str]:
        lines = [line.strip() for line in self.cleaned_data["urls"].splitlines()]
        urls = [line for line in lines if line]
        if any(len(url) > MAX_URL for url in urls):
            raise forms.ValidationError(_("An address is too long."))
        return urls

    @property
    def pictures(self) -> list[File[bytes]]:
        files: MultiValueDict[str, Any] = self.files
        return files.getlist("picture")

    @property
    def places(self) -> Iterable[int]:
        """Of each; none where none is told."""
        first = self.cleaned_data["place"]
        return () if first is None else count(first)

    def check(self) -> None:
        """Raises Refused (invalid)."""
        for name, errors in self.errors.items():
            raise Refused(Code.INVALID, f"{self[name].label}: {' '.join(map(str, errors))}")
        if not (self.pictures or self.cleaned_data["urls"]):
            raise Refused(Code.INVALID, str(_("Choose pictures, or give the addresses of some.")))


class ShownForm(forms.Form):
    """What counts as near, and which entries are shown. What does not fit is as if it were not given."""

    level = forms.TypedChoiceField(coerce=float, required=False, empty_value=None)
    show = forms.TypedChoiceField(coerce=Verdict, choices=Verdict.choices, required=False, empty_value=None)

    def __init__(self, *args: Any, usual: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._usual = usual
        level = self.fields["level"]
        assert isinstance(level, forms.TypedChoiceField)  # noqa: S101 (it stands above)
        level.choices = [(str(one), level_in_words(one)) for one in LEVELS]
        self.is_valid()

    @property
    def chosen_level(self) -> float:
        return self.cleaned_data.get("level") or self._usual

    @property
    def shown(self) -> Verdict | None:
        return self.cleaned_data.get("show")

    @property
    def query(self) -> str:
        """As addresses have it; empty where everything is as it is anyway."""
        shown = urlencode({"show": self.shown.value}) if self.shown else ""
        return "&".join(filter(None, [self.query_of_all, shown]))

    @property
    def query_of_all(self) -> str:
        """The same, with no verdict chosen."""
        return urlencode({"level": self.chosen_level}) if self.chosen_level != self._usual else ""

    @property
    def level_in_words(self) -> str:
        return level_in_words(self.chosen_level)

    @property
    def options(self) -> list[tuple[str, str, bool]]:
        """Value, words and whether it is chosen, of each level."""
        return [(str(one), level_in_words(one), one == self.chosen_level) for one in LEVELS]


def level_in_words(level: float) -> str:
    """A share of random pairs, as a percentage without loss."""
    return f"{level * 100:.4f}".rstrip("0").rstrip(".") + " %"
