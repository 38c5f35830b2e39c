"""The trash: moving assets there, looking into it, restoring them and giving them up."""

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from gallery import tasks
from gallery import trash as bin_
from gallery.history import Act
from gallery.models import Asset
from gallery.web import MemberRequest, for_members, get_editable_asset, respond, say_undoable, takes_forms

_ASSETS_A_PAGE = 60


@require_safe
@for_members
def trash(request: MemberRequest) -> HttpResponse:
    found = Asset.objects.in_trash_of(request.user).select_related("owner", "trashed_by").order_by("-trashed", "-pk")
    page = Paginator(found, _ASSETS_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "gallery/trash.html", {"page": page, "days": settings.TRASH_DAYS})


@require_POST
@for_members
def delete(request: MemberRequest, asset_id: int) -> HttpResponse:
    deleted = get_editable_asset(request, asset_id)
    act = Act(request.user)
    bin_.move_to_trash(Asset.objects.filter(pk=deleted.pk), act)
    say_undoable(request, _("“%(title)s” is in the trash.") % {"title": deleted.title}, act)
    return redirect("gallery:gallery")


@require_POST
@for_members
def restore(request: MemberRequest, asset_id: int) -> HttpResponse:
    restored = _get_from_trash(request, asset_id)
    bin_.restore(Asset.objects.filter(pk=restored.pk), Act(request.user))
    messages.success(request, _("“%(title)s” is back.") % {"title": restored.title})
    return redirect(restored)


@takes_forms
@for_members
def delete_for_good(request: MemberRequest, asset_id: int) -> HttpResponse:
    given_up = _get_from_trash(request, asset_id)
    if request.method == "POST":
        bin_.doom(Asset.objects.filter(pk=given_up.pk))
        tasks.queue_sweep_of_trash()
        messages.success(request, _("“%(title)s” was deleted for good.") % {"title": given_up.title})
        return redirect("gallery:trash")
    heading = _("Delete “%(title)s” for good?") % {"title": given_up.title}
    return _ask(request, heading, _("The original and everything known of it will be gone. This cannot be undone."))


@takes_forms
@for_members
def empty(request: MemberRequest) -> HttpResponse:
    lying = Asset.objects.in_trash_of(request.user)
    if request.method == "POST":
        count = bin_.doom(lying)
        tasks.queue_sweep_of_trash()
        told = ngettext("%(count)d asset was deleted for good.", "%(count)d assets were deleted for good.", count)
        messages.success(request, told % {"count": count})
        return redirect("gallery:trash")
    count = lying.count()
    told = ngettext("%(count)d asset will be gone.", "%(count)d assets will be gone, with their originals.", count)
    for_good = _("This cannot be undone.")
    return _ask(request, _("Empty the trash?"), f"{told % {'count': count}} {for_good}")


def _get_from_trash(request: MemberRequest, asset_id: int) -> Asset:
    return get_object_or_404(Asset.objects.in_trash_of(request.user), pk=asset_id)


def _ask(request: MemberRequest, heading: str, text: str) -> HttpResponse:
    context = {"heading": heading, "text": text, "back": reverse("gallery:trash")}
    return respond(request, "gallery/confirm.html", "gallery/_confirm.html", context)
