"""How a reader wants pictures laid out. Kept in cookies: a page comes in its layout rather than turning into it."""

from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from gallery.web import Request, for_readers, is_fragment, where_from

_COOKIE_AGE_S = 365 * 86_400
CHOICES = {
    "layout": {"rows": _("Rows"), "squares": _("Squares")},
    "density": {"comfortable": _("Comfortable"), "compact": _("Compact"), "dense": _("Dense")},
}
_USUAL = {"layout": "rows", "density": "compact"}


def chosen(request: HttpRequest) -> dict[str, str]:
    return {name: _known(name, request.COOKIES.get(name, "")) for name in CHOICES}


def _known(name: str, value: str) -> str:
    return value if value in CHOICES[name] else _USUAL[name]


@require_POST
@for_readers
def choose(request: Request) -> HttpResponseBase:
    back = where_from(request, "gallery:gallery")
    response: HttpResponseBase = HttpResponse(status=HTTPStatus.NO_CONTENT) if is_fragment(request) else redirect(back)
    for name in CHOICES:
        response.set_cookie(
            name,
            _known(name, request.POST.get(name, "")),
            max_age=_COOKIE_AGE_S,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
    return response
