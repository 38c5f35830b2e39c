"""How a reader wants the pages: light or dark. The language is Django's own to keep."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

COOKIE = "theme"
_COOKIE_AGE_S = 365 * 86_400
THEMES = {"auto": _("As the system"), "light": _("Light"), "dark": _("Dark")}


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    wanted, back = request.POST.get("theme", ""), request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    response = HttpResponseRedirect(back if is_ours else "/")
    response.set_cookie(
        COOKIE,
        wanted if wanted in THEMES else "auto",
        max_age=_COOKIE_AGE_S,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


def chosen(request: HttpRequest) -> dict[str, object]:
    """For templates: the theme, so that a page comes in it rather than turning into it."""
    wanted = request.COOKIES.get(COOKIE, "auto")
    return {"theme": wanted if wanted in THEMES else "auto", "themes": THEMES}
