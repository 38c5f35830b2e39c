"""The filters of assets: the same for pages, API and searches. All that are given combine."""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, ClassVar, Self
from urllib.parse import urlencode

import django_filters
from django import forms
from django.contrib.auth.models import User
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db.models import Exists, OuterRef, QuerySet
from django.template.defaultfilters import filesizeformat
from django.urls import reverse_lazy
from django.utils.datastructures import MultiValueDict
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.timezone import make_aware
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field

from gallery.formats import CONTENT_TYPES
from gallery.models import Asset, AssetQuerySet, Collection

_LONGEST_TAG = 100  # as in the model
#: Each is looked up, and those of `tag` are each a condition of their own.
_MOST_TAGS = 50
#: JSON can hold half a character ("\ud800"), the database cannot.
_whole_characters = RegexValidator(r"[\ud800-\udfff]", "Half a character is not allowed.", inverse_match=True)
#: Days whose beginning and end the database can hold in any time zone.
_FIRST_DAY, _LAST_DAY = date(1900, 1, 1), date(2999, 12, 31)
#: Offered to choose from, in bytes; an address may ask for any other.
_SIZES = [kilobytes * 1024 for kilobytes in (100, 500, 1024, 5 * 1024, 20 * 1024, 100 * 1024)]
_SIZE_MAX_DIGITS = 15
#: Names offered while typing; a browser's list of more is of no use.
_MOST_OWNERS_OFFERED = 500


# --- what can be given, and how it is shown -----------------------------------------------------------------


def names_in(given: Iterable[str]) -> list[str]:
    """Names given one by one, or several in one value, separated by commas."""
    return [*dict.fromkeys(name for value in given for part in value.split(",") if (name := part.strip()))]


class TagsInput(forms.TextInput):
    def value_from_datadict(self, data: MultiValueDict[str, str], files: Any, name: str) -> list[str]:  # type: ignore[override]
        return names_in(data.getlist(name))

    def format_value(self, value: list[str] | None) -> str:
        return ", ".join(value or [])


class TagsField(forms.Field):
    widget = TagsInput(
        attrs={
            "autocomplete": "off",
            "placeholder": _("e.g. red, shoe"),
            "data-tag-names": reverse_lazy("gallery:tag_names"),
        }
    )
    _name = forms.CharField(max_length=_LONGEST_TAG, validators=[_whole_characters])

    def to_python(self, value: Any) -> list[str]:
        if len(value) > _MOST_TAGS:
            raise forms.ValidationError(_("Give at most %(most)s tags."), params={"most": _MOST_TAGS})
        return [str(self._name.clean(name)) for name in value]


class SizeSelect(forms.Select):
    """Round sizes, and whichever other one is asked for."""

    def optgroups(self, name: str, value: list[str], attrs: dict[str, Any] | None = None) -> list[Any]:
        asked = {int(size) for size in value if size.isdecimal() and len(size) <= _SIZE_MAX_DIGITS}
        self.choices = [("", "Any"), *((size, filesizeformat(size)) for size in sorted({*_SIZES, *asked}))]
        return super().optgroups(name, value, attrs)


class TagsFilter(django_filters.Filter):  # type: ignore[misc]  # it has no types
    field_class = TagsField

    def __init__(self, *args: Any, help_text: str | Promise, **options: Any) -> None:
        super().__init__(*args, help_text=help_text, **options)
        names = {"type": "array", "items": {"type": "string", "maxLength": _LONGEST_TAG}}
        extend_schema_field({**names, "description": help_text})(self)

    def shown(self, names: list[str]) -> str:
        return ", ".join(names)


class ChoiceFilter(django_filters.ChoiceFilter):  # type: ignore[misc]
    def shown(self, value: str) -> str:
        return str(dict(self.extra["choices"])[value])


class DayFilter(django_filters.DateFilter):  # type: ignore[misc]
    """A day of the site's time zone."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(
            *args,
            input_formats=["%Y-%m-%d"],
            error_messages={"invalid": _("Give a day as YYYY-MM-DD.")},
            validators=[MinValueValidator(_FIRST_DAY), MaxValueValidator(_LAST_DAY)],
            widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
            **options,
        )

    def shown(self, day: date) -> str:
        return date_format(day, "j F Y")


class PixelsFilter(django_filters.NumberFilter):  # type: ignore[misc]
    field_class = forms.IntegerField

    def __init__(self, *args: Any, widget: forms.Widget | None = None, **options: Any) -> None:
        widget = widget or forms.NumberInput(attrs={"placeholder": _("any"), "inputmode": "numeric"})
        super().__init__(*args, min_value=0, widget=widget, **options)

    def get_max_validator(self) -> None:
        """None: what is too large for the database is larger than every picture, as Django knows."""

    def shown(self, pixels: int) -> str:
        return f"{pixels:,} px"


class BytesFilter(PixelsFilter):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, widget=SizeSelect(), **options)

    def shown(self, size_bytes: int) -> str:
        return filesizeformat(size_bytes)


#: A filter by its name; or, of one that takes several values, the name and one of them.
Part = str | tuple[str, str]


@dataclass(frozen=True)
class Chip:
    """A filter in force, and the address without it."""

    label: str
    value: str
    without: str


# --- the filters --------------------------------------------------------------------------------------------


def _start_of(day: date) -> datetime:
    return make_aware(datetime.combine(day, time.min))


def _owners() -> QuerySet[User]:
    return User.objects.filter(Exists(Asset.objects.kept().filter(owner=OuterRef("pk"))))


def labelled(form: forms.BaseForm, errors: Mapping[str, Iterable[object]]) -> list[str]:
    """What is wrong with fields, by what people know them by."""
    return [f"{form[name].label}: {' '.join(map(str, told))}" for name, told in errors.items()]


class AssetFilter(django_filters.FilterSet):  # type: ignore[misc]
    q = django_filters.CharFilter(method="by_text", label=_("Text"), max_length=200, validators=[_whole_characters])
    collection = django_filters.ModelChoiceFilter(
        queryset=Collection.objects.all(),
        label=_("Collection"),
        error_messages={"invalid_choice": _("There is no such collection.")},
    )
    tag = TagsFilter(method="by_all_tags", label=_("Tags"), help_text=_("Assets that have all of these."))
    any_tag = TagsFilter(method="by_any_tag", label=_("Any of the tags"), help_text=_("Assets that have one of these."))
    not_tag = TagsFilter(
        method="by_no_tag", label=_("None of the tags"), help_text=_("Assets that have none of these.")
    )
    format = ChoiceFilter(label=_("Format"), choices=[(name, name) for name in CONTENT_TYPES])
    orientation = ChoiceFilter(method="by_orientation", label=_("Orientation"), choices=Asset.Orientation.choices)
    min_width = PixelsFilter("width", "gte", label=_("Width from"), help_text=_("In pixels."))
    max_width = PixelsFilter("width", "lte", label=_("Width to"), help_text=_("In pixels."))
    min_height = PixelsFilter("height", "gte", label=_("Height from"), help_text=_("In pixels."))
    max_height = PixelsFilter("height", "lte", label=_("Height to"), help_text=_("In pixels."))
    min_size_bytes = BytesFilter("size_bytes", "gte", label=_("File size from"), help_text=_("Of the original."))
    max_size_bytes = BytesFilter("size_bytes", "lte", label=_("File size to"), help_text=_("Of the original."))
    created_from = DayFilter(method="by_first_day", label=_("Uploaded from"), help_text=_("The first day."))
    created_to = DayFilter(method="by_last_day", label=_("Uploaded to"), help_text=_("The last day."))
    owner = django_filters.ModelChoiceFilter(
        queryset=_owners(),
        to_field_name="username",
        label=_("Owner"),
        help_text=_("A user name."),
        error_messages={"invalid_choice": _("Nobody of that name owns an asset.")},
        widget=forms.TextInput(attrs={"list": "owner-names", "autocomplete": "off", "placeholder": _("Any owner")}),
    )
    status = ChoiceFilter(label=_("Status"), choices=Asset.Status.choices)

    #: Those that a page shows at once. The others wait until they are wanted.
    COMMON: ClassVar = ("q", "collection", "tag", "format")

    #: Of several values each narrows by itself; of any tag, one less lets less pass.
    _APART: ClassVar = ("tag", "not_tag")

    class Meta:
        model = Asset
        fields: list[str] = []

    def __init__(self, data: Mapping[str, Any] | None = None, *args: Any, **options: Any) -> None:
        """`data` as a form, a query string or JSON has it."""
        super().__init__(None if data is None else self.texts(data), *args, **options)

    @classmethod
    def texts(cls, data: Mapping[str, Any]) -> MultiValueDict[str, str]:
        """What is given for each filter, as a form has it."""
        return MultiValueDict({name: texts for name in cls.base_filters if (texts := _texts(data, name))})

    # --- what each lets pass

    def by_text(self, assets: AssetQuerySet, name: str, text: str) -> AssetQuerySet:
        return assets.matching(text)

    def by_all_tags(self, assets: AssetQuerySet, name: str, tags: list[str]) -> AssetQuerySet:
        return assets.tagged_all(tags)

    def by_any_tag(self, assets: AssetQuerySet, name: str, tags: list[str]) -> AssetQuerySet:
        return assets.tagged_any(tags)

    def by_no_tag(self, assets: AssetQuerySet, name: str, tags: list[str]) -> AssetQuerySet:
        return assets.tagged_none(tags)

    def by_orientation(self, assets: AssetQuerySet, name: str, orientation: str) -> AssetQuerySet:
        return assets.oriented(Asset.Orientation(orientation))

    def by_first_day(self, assets: AssetQuerySet, name: str, day: date) -> AssetQuerySet:
        return assets.filter(created__gte=_start_of(day))

    def by_last_day(self, assets: AssetQuerySet, name: str, day: date) -> AssetQuerySet:
        return assets.filter(created__lt=_start_of(day + timedelta(days=1)))

    # --- what was asked for

    @property
    def asked(self) -> dict[str, list[str]]:
        """What is asked for, valid or not, by filter."""
        return {name: values for name in self.filters if (values := self._asked(name))}

    def _asked(self, name: str) -> list[str]:
        given: list[str] = self.data.getlist(name)
        return names_in(given) if isinstance(self.filters[name], TagsFilter) else given[-1:]

    @property
    def is_narrowing(self) -> bool:
        """Whether anything is asked for, valid or not."""
        return bool(self.asked)

    @property
    def asks_for_more(self) -> bool:
        """Whether anything is asked for beyond what a page shows at once."""
        return not self.asked.keys() <= set(self.COMMON)

    @property
    def parts(self) -> Iterator[tuple[Part, str, str]]:
        """Each thing that can be given up by itself, with its label and how it reads."""
        for name, values in self.asked.items():
            label = str(self.form[name].label)
            if name in self._APART and name not in self.errors:
                yield from (((name, value), label, value) for value in values)
            else:
                yield name, label, self.shown(name)

    def query(self, *, without: Container[Part] = ()) -> str:
        """What is asked for, as addresses carry it on."""
        kept = {
            name: [value for value in values if (name, value) not in without]
            for name, values in self.asked.items()
            if name not in without
        }
        return urlencode(kept, doseq=True)

    def without(self, names: Iterable[str]) -> Self:
        """The same, with nothing asked of some filters."""
        return type(self)({name: values for name, values in self.asked.items() if name not in names}, self.queryset)

    def shown(self, name: str) -> str:
        """What is asked for of one filter, for people to read."""
        if name in self.errors:
            return ", ".join(self.asked[name])
        show = getattr(self.filters[name], "shown", str)
        return str(show(self.form.cleaned_data[name]))

    @property
    def refusals(self) -> list[str]:
        """What cannot be understood, for people to read. `errors` says it by the filters' names, for programs."""
        return labelled(self.form, self.errors)

    @property
    def owners(self) -> QuerySet[User]:
        return _owners().order_by("username")[:_MOST_OWNERS_OFFERED]

    def matching(self) -> AssetQuerySet:
        """The assets that pass; none where a filter cannot be understood, and `errors` then says why."""
        return self.among().kept()

    def among(self) -> AssetQuerySet:
        """As `matching`, for a search by vectors: what lies in the trash has none, and to ask costs what it finds."""
        passed: AssetQuerySet = self.qs if self.is_valid() else self.queryset.none()
        return passed


def _texts(data: Mapping[str, Any], name: str) -> list[str]:
    """The values of a name as texts, of which a form has any number, and JSON one or a list. Empty ones ask nothing."""
    given = data.getlist(name) if isinstance(data, MultiValueDict) else data.get(name)
    values = given if isinstance(given, list) else [given]
    return [str(value) for value in values if value is not None and value != ""]
