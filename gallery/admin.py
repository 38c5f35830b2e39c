"""The admin of assets, collections and tags. Every list takes a fixed number of queries."""

from collections.abc import Iterator, Sequence
from typing import Any, cast
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.contrib.auth.models import User
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from gallery import changing, tagging, trash, user_admin  # noqa: F401 (registers itself)
from gallery.formats import CONTENT_TYPES
from gallery.forms import collection_named
from gallery.history import Act
from gallery.import_models import Import
from gallery.models import Asset, AssetQuerySet, Change, Collection, Tag, uses_of_tags
from gallery.reasons import retold
from gallery.web import say_undoable

admin.site.site_header = admin.site.site_title = "AssetSearch"

#: Side of the square that a picture is shown in.
_TILE_PX, _PREVIEW_PX = 72, 480
#: Fields that hold what the file says of itself.
_SAID = ["caption", "keyword_list", "camera", "lens", "taken", "latitude", "longitude"]
#: The confirmation names and sends back every asset, and a form may have 1,000 fields.
_MOST_DELETED = 500


def picture(asset: Asset, *, rendition: str, side_px: int) -> SafeString:
    """The rendition within a square, its room reserved before it has loaded."""
    scale = side_px / max(asset.width, asset.height, 1)
    return format_html(
        '<img src="{}" width="{}" height="{}" alt="{}" loading="lazy">',
        reverse(f"gallery:{rendition}", args=[asset.pk]),
        max(1, round(asset.width * scale)),
        max(1, round(asset.height * scale)),
        asset.title,
    )


class CollectionChoice(forms.Form):
    """One that there is, or the name of a new one."""

    collection = forms.ModelChoiceField(
        Collection.objects.all(),
        label=_("Collection"),
        required=False,
        widget=AutocompleteSelect(Asset.collection.field, admin.site),
    )
    new_collection = forms.CharField(label=_("or a new one"), max_length=200, required=False)

    def clean(self) -> None:
        if bool(self.cleaned_data.get("collection")) == bool(self.cleaned_data.get("new_collection")):
            raise forms.ValidationError(_("Choose a collection, or name a new one."))

    def save(self, owner: User) -> Collection | None:
        return collection_named(self.cleaned_data["new_collection"], owner) or self.cleaned_data["collection"]


class OwnerChoice(forms.Form):
    owner = forms.ModelChoiceField(
        User.objects.filter(is_active=True),
        label=_("New owner"),
        error_messages={"invalid_choice": _("Nobody can sign in as this user any more. Choose another.")},
        widget=AutocompleteSelect(Asset.owner.field, admin.site),
    )


def _act(request: HttpRequest) -> Act:
    return Act(cast("User", request.user))


class FormatFilter(admin.SimpleListFilter):
    """By the formats there can be; Django's own filter would look through every asset for those there are."""

    title, parameter_name = _("format"), "format"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(name, name) for name in CONTENT_TYPES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(format=self.value()) if self.value() else queryset


class TrashFilter(admin.SimpleListFilter):
    """What is kept, where nothing else is asked for."""

    title, parameter_name = _("trash"), "trash"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [("in", gettext("In the trash")), ("any", gettext("All"))]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        default, *others = super().choices(changelist)
        yield from [{**default, "display": gettext("Not in the trash")}, *others]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = {"in": {"trashed__isnull": False}, "any": {}}.get(self.value() or "", {"trashed": None})
        return queryset.filter(**wanted)


@admin.register(Asset)
class AssetAdmin(admin.ModelAdmin[Asset]):
    list_display = [
        "tile", "title", "status", "format", "dimensions", "size", "collection", "tag_names", "owner",
        "created",
    ]  # fmt: skip
    list_display_links = ["tile", "title"]
    list_filter = [TrashFilter, "status", FormatFilter, "collection", "owner"]
    search_fields = ["title", "filename", "tags__name"]
    search_help_text = _("Words of titles, file names and tags, or how they begin.")
    show_full_result_count = False
    ordering = ["-id"]
    actions = ["add_to_collection", "hand_over", "move_to_trash", "restore", "delete_selected"]
    autocomplete_fields = ["collection", "tags"]
    raw_id_fields = ["owner"]
    fields = [
        "large", "title", "collection", "tags", "owner", "status", "reason", "filename", "format",
        "dimensions", "size", "sha256", "created", "trashed", "trashed_by", "delete_after", "source_url", *_SAID,
    ]  # fmt: skip
    readonly_fields = [
        "large", "status", "reason", "filename", "format", "dimensions", "size", "sha256", "created", "trashed",
        "trashed_by", "delete_after", "source_url", *_SAID,
    ]  # fmt: skip

    @admin.display(description="")
    def tile(self, asset: Asset) -> SafeString:
        return picture(asset, rendition="thumbnail", side_px=_TILE_PX)

    @admin.display(description=_("picture"))
    def large(self, asset: Asset) -> SafeString:
        return format_html(
            '{}<br><a href="{}">{}</a>',
            picture(asset, rendition="preview", side_px=_PREVIEW_PX),
            reverse("gallery:download", args=[asset.pk]),
            gettext("Download the original"),
        )

    @admin.display(description=_("why it cannot be searched"))
    def reason(self, asset: Asset) -> str:
        return retold(asset.error)

    @admin.display(description=_("dimensions (px)"))
    def dimensions(self, asset: Asset) -> str:
        return f"{asset.width} × {asset.height}"  # noqa: RUF001 (the sign for it)

    @admin.display(description=_("size"), ordering="size_bytes")
    def size(self, asset: Asset) -> str:
        return filesizeformat(asset.size_bytes)

    @admin.display(description=_("tags"))
    def tag_names(self, asset: Asset) -> str:
        return ", ".join(tag.name for tag in asset.tags.all())

    @admin.display(description=_("keywords"))
    def keyword_list(self, asset: Asset) -> str:
        return ", ".join(asset.keywords)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A picture comes in through store_upload alone; the list links to the page that does that."""
        return False

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """All that was changed of it, and not by the admin alone."""
        if not request.user.has_perm("gallery.view_change"):
            return super().history_view(request, object_id, extra_context)
        return redirect(f"{reverse('admin:gallery_change_changelist')}?{urlencode({'asset': object_id})}")

    def has_hand_over_permission(self, request: HttpRequest) -> bool:
        """Users are chosen by name, which not all staff may read."""
        return self.has_change_permission(request) and request.user.has_perm("auth.view_user")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Asset]:
        return Asset.objects.for_display()

    def save_model(self, request: HttpRequest, obj: Asset, form: forms.ModelForm[Asset], change: bool) -> None:  # noqa: FBT001 (Django's)
        own, act = Asset.objects.filter(pk=obj.pk), _act(request)
        changing.retitle(own, obj.title, act)
        changing.move(own, obj.collection, act)
        changing.set_tags(obj, [tag.name for tag in form.cleaned_data["tags"]], act)
        changing.hand_over(own, obj.owner, act)
        super().save_model(request, obj, form, change)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Asset], search_term: str
    ) -> tuple[QuerySet[Asset], bool]:
        """By the index that the gallery searches, not by LIKE '%…%' over every row."""
        assert isinstance(queryset, AssetQuerySet)  # noqa: S101 (see get_queryset)
        return queryset.matching(search_term), False

    def get_deleted_objects(
        self, objs: QuerySet[Any] | Sequence[Any], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """The assets alone. What goes with them is derived from them, by other apps too: nobody needs a
        permission to delete that, and listing it would load every vector.
        """
        doomed = list(objs)
        lacking = set() if self.has_delete_permission(request) else {str(self.opts.verbose_name)}
        return (
            [str(asset) for asset in doomed],
            {str(self.opts.verbose_name_plural): len(doomed)},
            lacking,
            [],
        )

    @admin.action(description=_("Move selected assets to the trash"), permissions=["delete"])
    def move_to_trash(self, request: HttpRequest, assets: AssetQuerySet) -> None:
        act = _act(request)
        trash.move_to_trash(assets, act)
        count = len(act.changed)
        said = ngettext("%(count)s asset is in the trash.", "%(count)s assets are in the trash.", count)
        say_undoable(request, said % {"count": f"{count:,}"}, act)

    @admin.action(description=_("Take selected assets out of the trash"), permissions=["delete"])
    def restore(self, request: HttpRequest, assets: AssetQuerySet) -> None:
        act = _act(request)
        trash.restore(assets, act)
        count = len(act.changed)
        said = ngettext("%(count)s asset is back.", "%(count)s assets are back.", count)
        say_undoable(request, said % {"count": f"{count:,}"}, act)

    @admin.action(description=_("Delete selected assets for good"), permissions=["delete"])
    def delete_selected(self, request: HttpRequest, assets: QuerySet[Asset]) -> HttpResponse | None:
        if assets.count() > _MOST_DELETED:
            self.message_user(
                request,
                gettext("At most %(most)s assets can be deleted at once. Nothing was deleted.")
                % {"most": _MOST_DELETED},
                messages.ERROR,
            )
            return None
        return delete_selected(self, request, assets)

    @admin.action(description=_("Add selected assets to a collection"), permissions=["change"])
    def add_to_collection(self, request: HttpRequest, assets: AssetQuerySet) -> HttpResponse | None:
        form = CollectionChoice(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            count = assets.count()
            told = ngettext(
                "%(count)s asset will be in the collection you choose, and in no other: "
                "an asset is in one collection at most.",
                "%(count)s assets will be in the collection you choose, and in no other: "
                "an asset is in one collection at most.",
                count,
            ) % {"count": f"{count:,}"}
            return self._ask(request, form, gettext("Add to a collection"), told, gettext("Add to the collection"))
        selected, act = assets.count(), _act(request)
        collection = form.save(act.user)
        changing.move(assets, collection, act)
        said = ngettext(
            "%(count)s asset is in “%(collection)s” now.", "%(count)s assets are in “%(collection)s” now.", selected
        )
        say_undoable(request, said % {"collection": collection, "count": f"{selected:,}"}, act)
        return None

    @admin.action(description=_("Hand selected assets over to another user"), permissions=["hand_over"])
    def hand_over(self, request: HttpRequest, assets: AssetQuerySet) -> HttpResponse | None:
        form = OwnerChoice(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            count = assets.count()
            told = ngettext(
                "%(count)s asset will belong to the user you choose, who may then edit and delete it.",
                "%(count)s assets will belong to the user you choose, who may then edit and delete them.",
                count,
            ) % {"count": f"{count:,}"}
            return self._ask(request, form, gettext("Hand over to another user"), told, gettext("Hand over"))
        act = _act(request)
        changing.hand_over(assets, form.cleaned_data["owner"], act)
        count = len(act.changed)
        said = ngettext("%(count)s asset belongs to %(owner)s now.", "%(count)s assets belong to %(owner)s now.", count)
        say_undoable(request, said % {"owner": form.cleaned_data["owner"], "count": f"{count:,}"}, act)
        return None

    def _ask(self, request: HttpRequest, form: forms.Form, title: str, told: str, submit: str) -> HttpResponse:
        """For what an action needs to know, and whether to go on."""
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "told": told,
            "submit": submit,
            "opts": self.opts,
            "form": form,
            "media": self.media + form.media,
            "action": request.POST["action"],
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
        }
        return TemplateResponse(request, "admin/gallery/asset/ask.html", context)


def _with_asset_count(queryset: QuerySet[Any], counted: QuerySet[Any], key: str) -> QuerySet[Any]:
    """Counted for the rows of one page alone; a join would count for every row of the table."""
    counts = counted.filter(**{key: OuterRef("pk")}).order_by().values(key).annotate(count=Count("pk"))
    counted_rows: QuerySet[Any] = queryset.annotate(asset_count=Coalesce(Subquery(counts.values("count")), 0))
    return counted_rows


def _assets_link(row: Any, lookup: str) -> SafeString:
    return format_html(
        '<a href="{}?{}={}">{}</a>',
        reverse("admin:gallery_asset_changelist"),
        lookup,
        row.pk,
        row.asset_count,
    )


@admin.register(Collection)
class CollectionAdmin(admin.ModelAdmin[Collection]):
    list_display = ["name", "asset_count", "owner", "created"]
    list_select_related = ["owner"]
    search_fields = ["name"]
    raw_id_fields = ["owner"]
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Collection]:
        return _with_asset_count(super().get_queryset(request), Asset.objects.kept(), "collection")

    @admin.display(description=_("assets"), ordering="asset_count")
    def asset_count(self, collection: Collection) -> SafeString:
        return _assets_link(collection, "collection__id__exact")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"owner": request.user.pk}


@admin.register(Tag)
class TagAdmin(admin.ModelAdmin[Tag]):
    list_display = ["name", "asset_count"]
    search_fields = ["name"]
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tag]:
        return _with_asset_count(super().get_queryset(request), uses_of_tags(), "tag")

    def save_model(self, request: HttpRequest, obj: Tag, form: forms.ModelForm[Tag], change: bool) -> None:  # noqa: FBT001 (Django's)
        if change:
            tagging.rename(obj.pk, obj.name, _act(request))
        else:
            super().save_model(request, obj, form, change)

    def delete_model(self, request: HttpRequest, obj: Tag) -> None:
        tagging.delete(obj.pk, _act(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Tag]) -> None:
        for tag_id in queryset.values_list("pk", flat=True):
            tagging.delete(tag_id, _act(request))

    @admin.display(description=_("assets"), ordering="asset_count")
    def asset_count(self, tag: Tag) -> SafeString:
        return _assets_link(tag, "tags__id__exact")


@admin.register(Change)
class ChangeAdmin(admin.ModelAdmin[Change]):
    """To look at: who changed what and when."""

    list_display = ["at", "link", "user", "kind", "before", "after"]
    list_display_links = None
    list_filter = ["kind"]
    list_select_related = ["asset", "user"]
    show_full_result_count = False

    @admin.display(description=_("asset"))
    def link(self, change: Change) -> SafeString:
        return format_html('<a href="{}">{}</a>', change.asset.get_absolute_url(), change.asset)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Change | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Change | None = None) -> bool:
        return False


@admin.register(Import)
class ImportAdmin(admin.ModelAdmin[Import]):
    """To look at. What can be done with an import, its own page does."""

    list_display = [
        "name", "kind", "state", "total", "stored", "duplicates", "refused", "owner", "created", "finished", "page",
    ]  # fmt: skip
    list_display_links = None
    list_filter = ["state", "kind"]
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Import]:
        return Import.objects.for_display()

    @admin.display(description="")
    def page(self, row: Import) -> SafeString:
        return format_html('<a href="{}">{}</a>', row.get_absolute_url(), gettext("Progress"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Import | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Import | None = None) -> bool:
        return False
