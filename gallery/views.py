"""Pages of one asset. What they show of search, they load by the name of its address."""

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from django_htmx.http import trigger_client_event

from gallery.browsing import Browsing
from gallery.errors import Refused
from gallery.forms import EditForm
from gallery.history import Act
from gallery.media import send_original, send_rendition, send_size
from gallery.models import Asset
from gallery.web import (
    MemberRequest,
    Request,
    for_members,
    for_readers,
    get_editable_asset,
    get_shown_asset,
    is_fragment,
    names_offered,
    respond,
    say_undoable,
    status_of,
    takes_forms,
)


@require_safe
@for_readers
def asset(request: Request, asset_id: int) -> HttpResponse:
    shown = get_shown_asset(request, asset_id)
    browsing = Browsing.of(request.GET, request.user)
    context = {
        "asset": shown,
        "may_edit": shown.may_be_edited_by(request.user),
        "location": shown.location_for(request.user),
        "carried": browsing.query(),
        "form": EditForm(),
    }
    if not is_fragment(request):
        context |= names_offered()
        context["newer"], context["older"] = browsing.neighbours(shown)
    return respond(request, "gallery/asset.html", "gallery/_state.html", context)


@require_safe
@for_readers
def facts(request: Request, asset_id: int) -> HttpResponse:
    """What is known of an asset, for the lightbox; its page tells the same, and more."""
    shown = get_shown_asset(request, asset_id)
    if not is_fragment(request):
        return redirect(shown)
    context = {"asset": shown, "location": shown.location_for(request.user)}
    return render(request, "gallery/_lightbox_facts.html", context)


@takes_forms
@for_members
def edit(request: MemberRequest, asset_id: int) -> HttpResponse:
    """In place on the asset's page; a page of its own without script, where something is wrong."""
    edited = get_editable_asset(request, asset_id)
    form, act = EditForm(request.POST if request.method == "POST" else None), Act(request.user)
    if form.is_valid():
        form.save(edited, act)
        say_undoable(request, _("Saved."), act)
        if not is_fragment(request):
            return redirect(edited)
        edited, form = get_editable_asset(request, asset_id), EditForm()
    context = {"asset": edited, "form": form, "may_edit": True, **names_offered()}
    response = respond(request, "gallery/edit.html", "gallery/_about.html", context, status=status_of(form))
    if form.errors:
        response.headers["X-Refused"] = "invalid"  # so that the form takes its place, and tells why
    return trigger_client_event(response, "assets-changed", {"act": "edit", "ids": sorted(act.changed)})


@require_safe
@for_readers
def download(request: Request, asset_id: int) -> HttpResponseBase:
    """The original, or with `size` a JPEG whose long edge has so many pixels."""
    wanted, size = get_shown_asset(request, asset_id), request.GET.get("size")
    if size is None:
        return send_original(wanted, request.user)
    if size not in map(str, Asset.SIZES_PX):
        raise Http404
    try:
        return send_size(wanted, request.user, int(size))
    except Refused as refused:
        messages.error(request, refused.detail)
        return redirect(wanted)


@require_safe
@for_readers
def preview(request: Request, asset_id: int) -> HttpResponseBase:
    return send_rendition(get_shown_asset(request, asset_id).preview)


@require_safe
@for_readers
def thumbnail(request: Request, asset_id: int) -> HttpResponseBase:
    return send_rendition(get_shown_asset(request, asset_id).thumbnail)
