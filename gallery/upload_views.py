"""The page that takes in pictures."""

from dataclasses import dataclass
from http import HTTPStatus

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files import File
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext

from gallery.errors import Code, Refused
from gallery.formats import ACCEPTED
from gallery.forms import UploadForm
from gallery.uploads import Details, Stored, store_upload
from gallery.web import MemberRequest, for_members, names_offered, takes_forms, wants_json


@dataclass(frozen=True)
class Outcome:
    """What became of one file of an upload."""

    filename: str
    stored: Stored | None = None
    refused: Refused | None = None


@takes_forms
@for_members
def upload(request: MemberRequest) -> HttpResponse:
    """One file a request from a script, answered in JSON; all that a form holds, answered by a page."""
    # a collection's page names itself
    initial = {"collection": request.GET.get("collection", "")}
    form = UploadForm(request.POST if request.method == "POST" else None, initial=initial)
    files = request.FILES.getlist("file")
    outcomes: list[Outcome] = []
    if form.is_valid():
        details = form.details(request.user)
        outcomes = [_store(file, request.user, details) for file in files]
    if request.method == "POST" and wants_json(request):
        return _as_json(outcomes[0]) if outcomes else _invalid(form)
    context = {
        "form": form,
        "outcomes": outcomes,
        "nothing_chosen": form.is_bound and not files,
        "accepted": gettext(ACCEPTED),
        "max_megabytes": settings.MAX_UPLOAD_BYTES // 1_000_000,
        **names_offered(),
    }
    return render(request, "gallery/upload.html", context)


def _store(file: File[bytes], owner: User, details: Details) -> Outcome:
    try:
        return Outcome(file.name or "", stored=store_upload(file, owner, details))
    except Refused as refused:
        return Outcome(file.name or "", refused=refused)


def _as_json(outcome: Outcome) -> JsonResponse:
    if outcome.refused:
        answer = {"code": outcome.refused.code, "detail": outcome.refused.detail}
        return JsonResponse(answer, status=outcome.refused.http_status)
    assert outcome.stored  # noqa: S101 (one of the two is always there)
    status = HTTPStatus.OK if outcome.stored.duplicate else HTTPStatus.CREATED
    return JsonResponse(outcome.stored.told, status=status)


def _invalid(form: UploadForm) -> JsonResponse:
    said = [str(message) for errors in form.errors.values() for message in errors]
    answer = {"code": Code.INVALID, "detail": " ".join(said) or "There is no file in the request."}
    return JsonResponse(answer, status=HTTPStatus.BAD_REQUEST)
