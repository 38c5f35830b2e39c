"""What the pages of gallery and search share: who comes in, what they may have, page or fragment."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeVar, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.views import redirect_to_login
from django.contrib.messages.storage.base import Message
from django.core.exceptions import PermissionDenied
from django.db.models.functions import Lower
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, render, resolve_url
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from gallery.errors import Code
from gallery.history import Act
from gallery.models import Asset, Collection

#: Names offered while typing; a browser's list of more is of no use.
_MOST_NAMES_OFFERED = 500


class Request(HttpRequest):
    htmx: HtmxDetails
    user: User | AnonymousUser


class MemberRequest(Request):
    user: User


#: Shows a form, and takes it in.
takes_forms = require_http_methods(["GET", "HEAD", "POST"])

View = TypeVar("View", bound=Callable[..., HttpResponseBase])


def for_readers(view: View) -> View:
    """Who is signed in comes in, and everyone where PUBLIC_READ says so."""
    return _guarded(view, lambda user: user.is_authenticated or settings.PUBLIC_READ)


def for_members(view: View) -> View:
    """Who is signed in comes in."""
    return _guarded(view, lambda user: user.is_authenticated)


def _guarded(view: View, may_enter: Callable[[User | AnonymousUser], bool]) -> View:
    @wraps(view)
    def guarded(request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return view(request, *args, **kwargs) if may_enter(request.user) else _to_login(request)

    return cast("View", guarded)


def _to_login(request: Request) -> HttpResponseBase:
    if wants_json(request):
        detail = "You are not signed in any more. Sign in again, then retry."
        return JsonResponse({"code": Code.NOT_SIGNED_IN, "detail": detail}, status=HTTPStatus.UNAUTHORIZED)
    if request.htmx:  # back to the page that asked, not to the fragment
        return HttpResponseClientRedirect(redirect_to_login(_page_that_asked(request)).url)
    return redirect_to_login(request.get_full_path())


def _page_that_asked(request: Request) -> str:
    try:
        return request.htmx.current_url_abs_path or request.get_full_path()
    except ValueError:  # the header holds no address
        return request.get_full_path()


def wants_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def get_readable_asset(request: Request, asset_id: int) -> Asset:
    return get_object_or_404(Asset.objects.visible_to(request.user).for_display(), pk=asset_id)


def get_shown_asset(request: Request, asset_id: int) -> Asset:
    """One that is readable, or lies in the trash and is the user's to restore."""
    return get_object_or_404(Asset.objects.shown_to(request.user).for_display(), pk=asset_id)


def get_editable_asset(request: Request, asset_id: int) -> Asset:
    asset = get_readable_asset(request, asset_id)
    if not asset.may_be_edited_by(request.user):
        raise PermissionDenied
    return asset


def get_editable_collection(request: Request, collection_id: int) -> Collection:
    collection = get_object_or_404(Collection, pk=collection_id)
    if not collection.may_be_edited_by(request.user):
        raise PermissionDenied
    return collection


def names_offered() -> dict[str, Any]:
    """Names that forms offer. Those of tags are asked for while one types."""
    return {"collections": Collection.objects.order_by(Lower("name"))[:_MOST_NAMES_OFFERED]}


def is_fragment(request: Request) -> bool:
    """Whether htmx asks for a part of the page; going back in history, it asks for the whole."""
    return bool(request.htmx) and not request.htmx.history_restore_request


def respond(
    request: Request, page: str, fragment: str, context: dict[str, Any], *, status: int = HTTPStatus.OK
) -> HttpResponse:
    response = render(request, fragment if is_fragment(request) else page, context, status=status)
    patch_vary_headers(response, ["HX-Request"])  # or the browser's cache would show one for the other
    return response


#: Before the id of an act, in what a message carries beside its text.
_UNDO = "undo-"


def say_undoable(request: HttpRequest, text: str, act: Act) -> None:
    """With a way to take it back, where anything was done."""
    messages.success(request, text, extra_tags=f"{_UNDO}{act.id}" if act.changed else "")


def act_of(message: Message) -> str:
    """The id of what can be undone; empty where nothing can."""
    tags = message.extra_tags or ""
    return tags.removeprefix(_UNDO) if tags.startswith(_UNDO) else ""


def where_from(request: HttpRequest, otherwise: str) -> str:
    """The page of this site that a form was sent from, as it says."""
    told = request.POST.get("next", "")
    is_here = url_has_allowed_host_and_scheme(told, {request.get_host()}, require_https=request.is_secure())
    return told if is_here else resolve_url(otherwise)


def status_of(form: BaseForm) -> int:
    return HTTPStatus.BAD_REQUEST if form.is_bound and form.errors else HTTPStatus.OK
