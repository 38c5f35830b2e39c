"""Pages of imports: begin one, and see how it goes."""

from http import HTTPStatus
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import RequestDataTooBig
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpResponse, HttpResponseBase, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.timezone import localdate
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from gallery.archive_upload import ArchiveUploadHandler
from gallery.errors import Code, Refused
from gallery.forms import ImportForm
from gallery.import_models import Import
from gallery.ingest import background
from gallery.ingest.folder import folders_offered
from gallery.ingest.urls import MOST_URLS
from gallery.tasks import queue_import
from gallery.web import MemberRequest, for_members, is_fragment, names_offered, respond, status_of, takes_forms

_IMPORTS_A_PAGE, _REFUSALS_A_PAGE = 30, 100


@csrf_exempt  # until it is known how much to take in; see below
@takes_forms
@for_members
def begin(request: MemberRequest) -> HttpResponseBase:
    request.upload_handlers = [ArchiveUploadHandler(request)]
    try:
        return _begin(request)
    except RequestDataTooBig:  # what is no file: the script shows the sentence, and the form stays
        megabytes = settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1_000_000
        said = _("The addresses are too long together; at most %(megabytes)s MB are taken. Send fewer at once.")
        said %= {"megabytes": megabytes}
        return HttpResponse(said, content_type="text/plain", status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


@csrf_protect
def _begin(request: MemberRequest) -> HttpResponse:
    given = (request.POST, request.FILES) if request.method == "POST" else ()
    form = ImportForm(*given, owner=request.user)
    if not form.is_valid():
        return _form_of(request, form, status_of(form))
    try:
        begun = form.begin()
    except Refused as refused:
        form.add_error(None, refused.detail)
        return _form_of(request, form, refused.http_status, refused.code)
    queue_import(begun)
    address = begun.get_absolute_url()
    return HttpResponseClientRedirect(address) if is_fragment(request) else redirect(address)


def _form_of(request: MemberRequest, form: ImportForm, status: int, code: Code = Code.INVALID) -> HttpResponse:
    context = {
        "form": form,
        "folders": folders_offered() if "folder" in form.fields else [],
        "max_megabytes": settings.MAX_IMPORT_BYTES // 1_000_000,
        "most_urls": MOST_URLS,
        **names_offered(),
    }
    page, fragment = "gallery/begin_import.html", "gallery/_begin_import.html"
    response = respond(request, page, fragment, context, status=status)
    if form.errors:
        response["X-Refused"] = code  # it is worded for the reader
    return response


@require_safe
@for_members
def imports(request: MemberRequest) -> HttpResponse:
    """One's own; of staff, everybody's."""
    found = Import.objects.visible_to(request.user).for_display()
    page = Paginator(found, _IMPORTS_A_PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "is_any_under_way": any(one.is_under_way for one in page)}
    return respond(request, "gallery/imports.html", "gallery/_imports.html", context)


@require_safe
@for_members
def import_(request: MemberRequest, import_id: int) -> HttpResponse:
    row = _get_import(request, import_id)
    refusals, reason = row.refusals.filter(again=False), request.GET.get("reason", "")
    context = {
        "import": row,
        "may_be_retried": background.may_be_retried(row),
        "reasons": refusals.order_by().values("code").annotate(count=Count("pk")).order_by("-count", "code"),
        "chosen": reason,
        "pager_query": urlencode({"reason": reason}) if reason else "",
        "page": Paginator(refusals.filter(code=reason) if reason else refusals, _REFUSALS_A_PAGE).get_page(
            request.GET.get("page")
        ),
        "assets": _assets_query(row),
    }
    return respond(request, "gallery/import.html", "gallery/_import.html", context)


@require_POST
@for_members
def pause(request: MemberRequest, import_id: int) -> HttpResponse:
    row = _get_import(request, import_id)
    if background.pause(row):
        messages.success(request, _("Paused. It goes on where it stopped when you resume it."))
    return _back(request, row)


@require_POST
@for_members
def resume(request: MemberRequest, import_id: int) -> HttpResponse:
    row = _get_import(request, import_id)
    if background.resume(row):
        queue_import(row)
    return _back(request, row)


@takes_forms
@for_members
def cancel(request: MemberRequest, import_id: int) -> HttpResponse:
    """Asks first: what is left of an archive is forgotten."""
    row = _get_import(request, import_id)
    back = _back(request, row)
    if request.method == "POST":
        if background.cancel(row):
            messages.success(request, _("Cancelled. What is stored already stays."))
        return back
    context = {
        "heading": _("Cancel the import “%(name)s”?") % {"name": row.name},
        "text": _("What is stored already stays. What is not is forgotten, and is to be imported anew."),
        "act": _("Cancel the import"),
        "stay": _("Keep it"),
        "back": back.url,
    }
    return respond(request, "gallery/confirm.html", "gallery/_confirm.html", context)


@require_POST
@for_members
def retry(request: MemberRequest, import_id: int) -> HttpResponse:
    """All that may be taken now, or the one `refusal` that is named."""
    row, refusal = _get_import(request, import_id), request.POST.get("refusal", "")
    try:
        is_retried = background.retry(row, int(refusal) if refusal.isdecimal() else None)
    except Refused as refused:
        messages.error(request, refused.detail)
        return _back(request, row)
    if is_retried:
        queue_import(row)
    elif not _get_import(request, import_id).is_open:  # as a second click finds it
        messages.error(request, _("There is nothing to try again, or it is too long ago. Begin a new import."))
    return _back(request, row)


@require_POST
@for_members
def begin_sample(request: MemberRequest) -> HttpResponse:
    """The gallery of drawn pictures, to try things with."""
    try:
        row = background.begin_sample(request.user)
    except Refused as refused:
        messages.error(request, refused.detail)
        return redirect("gallery:gallery")
    queue_import(row)
    return redirect(row)


@takes_forms
@for_members
def remove_sample(request: MemberRequest) -> HttpResponse:
    """Asks first: they are deleted for good, and somebody may have worked with them."""
    if request.method == "POST":
        count = background.remove_sample(request.user)
        said = ngettext("%(count)d drawn picture is deleted.", "%(count)d drawn pictures are deleted.", count)
        messages.success(request, said % {"count": count})
        return redirect("gallery:gallery")
    count = background.sample_of(request.user).count()
    asked = ngettext("Remove %(count)d drawn picture?", "Remove %(count)d drawn pictures?", count)
    context = {
        "heading": asked % {"count": count},
        "text": _(
            "They are deleted for good, with the titles and tags that they were given. Your own pictures stay, and "
            "so do those that were moved to another collection."
        ),
        "act": _("Remove"),
        "back": reverse("gallery:gallery"),
    }
    return respond(request, "gallery/confirm.html", "gallery/_confirm.html", context)


def _back(request: MemberRequest, row: Import) -> HttpResponseRedirect:
    """To the page that the button was on."""
    was_on = request.POST.get("from") or request.GET.get("from")
    return redirect("search:work") if was_on == "work" else redirect(row)


def _get_import(request: MemberRequest, import_id: int) -> Import:
    return get_object_or_404(Import.objects.visible_to(request.user).for_display(), pk=import_id)


def _assets_query(row: Import) -> str:
    """By which the gallery shows what came in: nearly always this and no more."""
    query = QueryDict(mutable=True)
    query["owner"], query["created_from"] = row.owner.get_username(), localdate(row.created).isoformat()
    if row.finished:
        query["created_to"] = localdate(row.finished).isoformat()
    if row.collection_id:
        query["collection"] = str(row.collection_id)
    query.setlist("tag", row.tags)
    return query.urlencode()
