"""What pages tell of pictures that are there already in another form."""

from http import HTTPStatus

from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.translation import gettext_noop as _
from django.views.decorators.http import require_POST, require_safe

from gallery.errors import Code, Refused
from gallery.uploads import Stored
from gallery.web import MemberRequest, Request, for_members, for_readers, get_readable_asset
from search import same_picture
from search.pictures import Picture


@require_safe
@for_readers
def same(request: Request, asset_id: int) -> HttpResponse:
    """Assets that show the same picture, for an asset's page and the upload page; no content where there are none."""
    asset = get_readable_asset(request, asset_id)
    try:
        matches = same_picture.same_as(Picture(asset), request.user)
    except Refused:  # the page that asked says in what state the asset is
        matches = []
    if not matches:
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    return render(request, "search/_same_picture.html", {"matches": matches})


@require_POST
@for_members
def check(request: MemberRequest) -> JsonResponse:
    """What is there already of a file, for the upload page's script. Nothing is stored."""
    try:
        return JsonResponse(_told(request))
    except Refused as refused:
        return JsonResponse({"code": refused.code, "detail": refused.detail}, status=refused.http_status)


def _told(request: MemberRequest) -> dict[str, object]:
    """The identical asset as an upload tells of it, or else those of the same picture as a fragment."""
    file = request.FILES.get("file")
    if file is None:
        raise Refused(Code.INVALID, _("There is no file in the request."))
    picture = Picture(file)
    if identical := same_picture.identical_to(picture, request.user):
        return {"identical": Stored(identical, duplicate=True).told, "same_picture": ""}
    matches = same_picture.same_as(picture, request.user)
    fragment = render_to_string("search/_same_picture.html", {"matches": matches}, request) if matches else ""
    return {"identical": None, "same_picture": fragment}
