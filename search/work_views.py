"""Pages of work in progress: how far it is, pause, resume, cancel, try again."""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from gallery.reasons import retold
from gallery.web import MemberRequest, View, for_members, respond
from search import index, switching, tasks
from search import work as works
from search.models import Encoder, IndexBuild
from search.switching import CannotSwitch

_FAILURES_A_PAGE = 60


@require_safe
@for_members
def work(request: MemberRequest) -> HttpResponse:
    context = {
        "work": works.of(request.user),
        "may_pause": request.user.has_perm("search.change_encoder"),
        "may_retire": request.user.has_perm("search.delete_encoder"),
        "may_build": request.user.has_perm("search.add_indexbuild"),
    }
    return respond(request, "search/work.html", "search/_work.html", context)


@never_cache
@require_safe
@for_members
def badge(request: MemberRequest) -> HttpResponse:
    return render(request, "search/_work_badge.html", {"badge": works.badge(request.user)})


# --- embedding and index builds ---------------------------------------------------------------------------------


def _for_who_may(permission: str) -> Callable[[View], View]:
    """Takes a form from who holds the permission."""

    def guard(view: View) -> View:
        @require_POST
        @for_members
        @wraps(view)
        def guarded(request: MemberRequest, *args: Any, **kwargs: Any) -> Any:
            if not request.user.has_perm(permission):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return cast("View", guarded)

    return guard


@_for_who_may("search.change_encoder")
def pause(request: MemberRequest, encoder_id: int) -> HttpResponse:
    return _switched(request, encoder_id, switching.pause)


@_for_who_may("search.change_encoder")
def resume(request: MemberRequest, encoder_id: int) -> HttpResponse:
    return _switched(request, encoder_id, switching.fill)


def _switched(request: MemberRequest, encoder_id: int, what: Callable[[Encoder], object]) -> HttpResponse:
    try:
        what(get_object_or_404(Encoder, pk=encoder_id))
    except CannotSwitch as error:
        messages.error(request, retold(str(error)))
    else:
        tasks.queue_pending()
    return redirect("search:work")


@_for_who_may("search.add_indexbuild")
def cancel_build(request: MemberRequest, build_id: int) -> HttpResponse:
    if index.cancel(get_object_or_404(IndexBuild, pk=build_id)):
        messages.success(request, _("The build is cancelled. Searches go on as before."))
    return redirect("search:work")


@_for_who_may("search.add_indexbuild")
def pause_build(request: MemberRequest, build_id: int) -> HttpResponse:
    if index.pause(get_object_or_404(IndexBuild, pk=build_id)):
        said = _("The build is paused. Searches go on as before. When you resume it, it begins from the start.")
        messages.success(request, said)
    return redirect("search:work")


@_for_who_may("search.add_indexbuild")
def resume_build(request: MemberRequest, build_id: int) -> HttpResponse:
    row = get_object_or_404(IndexBuild, pk=build_id)
    if index.resume(row):
        _build_again(request, row)
    return redirect("search:work")


@_for_who_may("search.add_indexbuild")
def retry_build(request: MemberRequest, build_id: int) -> HttpResponse:
    row = get_object_or_404(IndexBuild, pk=build_id, encoder__is_active=True)  # workers build others' by themselves
    _build_again(request, row)
    return redirect("search:work")


def _build_again(request: MemberRequest, row: IndexBuild) -> None:
    if row.encoder.is_active:
        tasks.queue_index_build(row.kind, beside=row.is_to_compare)
    else:
        tasks.queue_pending()  # which ends with what is to be built
    messages.success(request, _("A worker builds the index. Searches go on meanwhile."))


# --- what could not be embedded ---------------------------------------------------------------------------------


@require_safe
@for_members
def failures(request: MemberRequest) -> HttpResponse:
    """Of one encoder and for one reason, a page at a time."""
    encoder, reason = _asked(request.GET)
    found = works.failures(request.user, encoder.pk, reason)
    page = Paginator(found, _FAILURES_A_PAGE).get_page(request.GET.get("page"))
    query = urlencode({"encoder": encoder.pk, "reason": reason})
    context = {"encoder": encoder, "reason": reason, "page": page, "pager_query": query}
    return render(request, "search/failures.html", context)


@require_POST
@for_members
def retry_failures(request: MemberRequest) -> HttpResponse:
    """All of one reason, or the one `asset` that is named."""
    encoder, reason = _asked(request.POST)
    failed = works.failures(request.user, encoder.pk, reason)
    asset = request.POST.get("asset", "")
    count = works.try_again(failed.filter(asset=int(asset)) if asset.isdecimal() else failed, encoder)
    said = ngettext("%(count)d picture is tried again.", "%(count)d pictures are tried again.", count)
    messages.success(request, said % {"count": count})
    if asset and failed.exists():
        return redirect(f"{reverse('search:failures')}?{urlencode({'encoder': encoder.pk, 'reason': reason})}")
    return redirect("search:work")


def _asked(given: Any) -> tuple[Encoder, str]:
    named = given.get("encoder", "")
    return get_object_or_404(Encoder, pk=int(named) if named.isdecimal() else None), given.get("reason", "")
