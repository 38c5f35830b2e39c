"""What people fill in of many assets at once."""

import re
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.core.validators import RegexValidator
from django.db import transaction
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from gallery import changing, trash
from gallery.filters import AssetFilter
from gallery.forms import TagsField, collection_named
from gallery.history import Act
from gallery.models import Asset, AssetQuerySet, Collection, Viewer

#: As many as one selects by hand or by a band over some pages of the gallery; some seconds of work.
MOST_AT_ONCE = 10_000
#: As many as filters may let pass, to be taken all: 5,000 take a second or two, and a proxy waits for two minutes.
MOST_MATCHING = 50_000
_ID = re.compile(r"[0-9]{1,18}")


class IdsField(forms.Field):
    """Ids in one value, separated by commas, or in one each."""

    widget = forms.MultipleHiddenInput
    default_error_messages = {
        "required": gettext_lazy("Nothing is selected."),
        "invalid": gettext_lazy("These are no ids of assets."),
        "too_many": gettext_lazy("At most %(most)s assets are taken at once."),
    }

    def clean(self, value: Any) -> list[int]:
        ids = [part.strip() for one in value or [] for part in one.split(",") if part.strip()]
        super().clean(ids)
        if not all(_ID.fullmatch(part) for part in ids):
            raise forms.ValidationError(self.error_messages["invalid"], "invalid")
        if len(ids) > MOST_AT_ONCE:
            raise forms.ValidationError(self.error_messages["too_many"], "too_many", {"most": f"{MOST_AT_ONCE:,}"})
        return [*dict.fromkeys(map(int, ids))]


class SelectionForm(forms.Form):
    """Assets by their ids, or all that some filters let pass: then with how many its sender was told that these are."""

    ids = IdsField(required=False)
    matching = forms.CharField(required=False, validators=[RegexValidator("%00", inverse_match=True)])
    count = forms.IntegerField(required=False)

    #: How many match at this moment, where that is not what its sender was told.
    count_now: int | None = None

    def __init__(self, *args: Any, user: Viewer, **options: Any) -> None:
        super().__init__(*args, **options)
        self.user = user

    def clean(self) -> None:
        """What matches is looked up once, and is ids from then on: what is counted is what is done."""
        is_by_filters = "matching" in self.data and self.cleaned_data.get("count") is not None
        if is_by_filters and "matching" in self.cleaned_data:
            self.cleaned_data["ids"] = self._ids_matching()
        if not self.cleaned_data.get("ids", True):
            raise forms.ValidationError(IdsField.default_error_messages["required"])

    def _ids_matching(self) -> list[int]:
        """As an address has the filters."""
        chosen = AssetFilter(QueryDict(self.cleaned_data["matching"]), self.reached())
        found = list(chosen.among().order_by("pk").values_list("pk", flat=True)[: MOST_MATCHING + 1])
        if len(found) > MOST_MATCHING:
            told = _("At most %(most)s assets are taken at once. Narrow the filters.")
            raise forms.ValidationError(told, params={"most": f"{MOST_MATCHING:,}"})
        if len(found) != (told_before := self.cleaned_data["count"]):
            self.count_now = len(found)
            told = ngettext(
                "%(count)s asset matches now, not %(before)s. Nothing was done.",
                "%(count)s assets match now, not %(before)s. Nothing was done.",
                self.count_now,
            )
            raise forms.ValidationError(told, params={"count": f"{self.count_now:,}", "before": f"{told_before:,}"})
        return found

    def reached(self) -> AssetQuerySet:
        """What can be selected."""
        return Asset.objects.visible_to(self.user)

    def among(self, assets: AssetQuerySet) -> AssetQuerySet:
        return assets.among(self.cleaned_data["ids"])

    @property
    def told(self) -> str:
        """What is wrong with it, for people to read."""
        return " ".join(str(message) for errors in self.errors.values() for message in errors)


class BulkForm(SelectionForm):
    ACTS = ("tag", "untag", "move", "delete", "restore")

    act = forms.ChoiceField(choices=[(act, act) for act in ACTS])
    tags = TagsField()
    collection = forms.ModelChoiceField(
        Collection.objects.all(),
        required=False,
        error_messages={"invalid_choice": gettext_lazy("The collection was deleted meanwhile.")},
    )
    new_collection = forms.CharField(max_length=200, required=False)

    def clean(self) -> None:
        if self.cleaned_data.get("act") in {"tag", "untag"} and not self.cleaned_data.get("tags", True):
            raise forms.ValidationError(_("Name a tag."))
        super().clean()

    def reached(self) -> AssetQuerySet:
        """Where the act takes them from."""
        is_in_trash = self.cleaned_data.get("act") == "restore"
        return Asset.objects.in_trash_of(self.user) if is_in_trash else super().reached()

    @transaction.atomic
    def save(self, user: User) -> Act:
        """Done to those of the selected that the user may change."""
        fields, act = self.cleaned_data, Act(user)
        assets = self.among(self.reached()).editable_by(user)
        match fields["act"]:
            case "tag":
                changing.retag(assets, act, add=fields["tags"])
            case "untag":
                changing.retag(assets, act, remove=fields["tags"])
            case "move":
                changing.move(assets, collection_named(fields["new_collection"], user) or fields["collection"], act)
            case "delete":
                trash.move_to_trash(assets, act)
            case "restore":
                trash.restore(assets, act)
        return act
