"""What became of an asset since it was uploaded."""

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.views.decorators.http import require_safe

from gallery.web import Request, for_readers, get_shown_asset, respond

_CHANGES_A_PAGE = 20


@require_safe
@for_readers
def history(request: Request, asset_id: int) -> HttpResponse:
    asset = get_shown_asset(request, asset_id)
    page = Paginator(asset.changes.select_related("user"), _CHANGES_A_PAGE).get_page(request.GET.get("page"))
    context = {"asset": asset, "page": page}
    return respond(request, "gallery/history.html", "gallery/_history.html", context)
