"""The address at which a search is found again, and those with one thing less."""

from collections.abc import Sequence
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext as _

from gallery.filters import AssetFilter, Chip, Part
from search.asked import Asked
from search.forms import SearchForm


def address(by: Asked, carried: str) -> str:
    query_string = "&".join(filter(None, [by.query(), carried]))
    return "?".join(filter(None, [reverse("search:search"), query_string]))


def carried(form: SearchForm, chosen: AssetFilter, *, without: Sequence[Part] = ()) -> str:
    """The options and the filters, where they are not as they are anyway, as links carry them on."""
    options = {name: value for name, value in form.options.items() if name not in without}
    return "&".join(filter(None, [urlencode(options), chosen.query(without=[*chosen.errors, *without])]))


def chips(form: SearchForm, chosen: AssetFilter) -> list[Chip]:
    """What narrows a search: a region, options, filters. How many are wanted narrows nothing."""
    by = form.asked
    region = [Chip(_("Region"), by.crop, address(by.whole(), carried(form, chosen)))] if by.crop else []
    options = [(name, *form.told(name)) for name in form.options if name != "k"]
    return region + [
        Chip(label, value, address(by, carried(form, chosen, without=[part])))
        for part, label, value in [*options, *chosen.parts]
    ]
