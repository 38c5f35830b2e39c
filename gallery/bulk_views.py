"""What is done to many assets at once, and to take back what was done."""

import json
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.http import content_disposition_header
from django.utils.timezone import localdate
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from gallery import packing
from gallery.bulk_forms import BulkForm, SelectionForm
from gallery.history import Act
from gallery.models import Asset, may_download_originals
from gallery.undoing import undo as undo_act
from gallery.web import MemberRequest, Request, for_members, for_readers, is_fragment, say_undoable, where_from

#: In a header, for which proxies have room for some kilobytes. What is told of more is that there are more.
_MOST_IDS_TOLD = 200


@require_POST
@for_members
def bulk(request: MemberRequest) -> HttpResponse:
    form = BulkForm(_with_ids(request), user=request.user)
    if not form.is_valid():
        messages.error(request, form.told)
        return _answer(request, "", Act(request.user), count_now=form.count_now)
    act = form.save(request.user)
    say_undoable(request, _told(form, act), act)
    return _answer(request, form.cleaned_data["act"], act)


def _told(form: BulkForm, act: Act) -> str:
    """What was done, and to how many of those selected it could not be."""
    fields, count = form.cleaned_data, len(act.changed)
    told = {
        "tag": ngettext("%(count)s asset was tagged.", "%(count)s assets were tagged.", count),
        "untag": ngettext("%(count)s asset lost the tag.", "%(count)s assets lost the tag.", count),
        "move": ngettext("%(count)s asset was moved.", "%(count)s assets were moved.", count),
        "delete": ngettext("%(count)s asset is in the trash.", "%(count)s assets are in the trash.", count),
        "restore": ngettext("%(count)s asset is back.", "%(count)s assets are back.", count),
    }[fields["act"]] % {"count": f"{count:,}"}
    others = form.among(Asset.objects.visible_to(act.user)).exclude(pk__in=Asset.objects.editable_by(act.user)).count()
    if not others:
        return told
    not_theirs = ngettext("%(count)s is not yours and stays as it is.", "%(count)s are not yours and stay.", others)
    return f"{told} {not_theirs % {'count': f'{others:,}'}}"


@require_POST
@for_members
def undo(request: MemberRequest, act_id: UUID) -> HttpResponse:
    act = undo_act(act_id, request.user)
    count = len(act.changed)
    if count:
        told = ngettext("Undone: %(count)s asset is as it was.", "Undone: %(count)s assets are as they were.", count)
        messages.success(request, told % {"count": f"{count:,}"})
    else:
        messages.error(request, _("There is nothing left to undo: it was changed otherwise since."))
    return _answer(request, "undo", act)


def _answer(request: MemberRequest, done: str, act: Act, *, count_now: int | None = None) -> HttpResponse:
    """The page that asked; to a script, toasts, and events that tell what was done to which, and how many match now."""
    if not is_fragment(request):
        return redirect(where_from(request, "gallery:gallery"))
    response = render(request, "_toasts.html")
    ids = sorted(act.changed) if len(act.changed) <= _MOST_IDS_TOLD else None
    told: dict[str, object] = {"assets-changed": {"act": done, "ids": ids}}
    if count_now is not None:
        told["matching-changed"] = {"count": count_now}
    response.headers["HX-Trigger"] = json.dumps(told)
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@for_readers
def download_zip(request: Request) -> HttpResponse | StreamingHttpResponse:
    form = SelectionForm(_with_ids(request), user=request.user)
    if not form.is_valid() or not may_download_originals(request.user):
        messages.error(request, form.told or _("Sign in to download originals."))
        return redirect(where_from(request, "gallery:gallery"))
    assets = form.among(Asset.objects.visible_to(request.user))
    response = StreamingHttpResponse(packing.packed(assets), content_type="application/zip")
    name = f"AssetSearch {localdate():%Y-%m-%d}.zip"
    response.headers["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name) or ""
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _with_ids(request: Request) -> dict[str, object]:
    given = request.POST if request.method == "POST" else request.GET
    return {**given.dict(), "ids": given.getlist("ids")}
