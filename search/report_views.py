"""Pages of reports: many pictures searched with at once."""

from collections.abc import Sequence
from http import HTTPStatus
from io import BytesIO
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from gallery.errors import Refused
from gallery.formats import ACCEPTED
from gallery.models import Asset
from gallery.web import MemberRequest, for_members, is_fragment, respond, takes_forms, wants_json
from search import report_exports, report_making
from search.report_forms import PicturesForm, ShownForm
from search.report_models import Entry, Report
from search.report_sections import Judged, Section, judged, sections, summarised
from search.verdicts import level_for

_REPORTS_SHOWN, _SECTIONS_A_PAGE = 50, 50


# --- all reports ----------------------------------------------------------------------------------------------


@takes_forms
@for_members
def reports(request: MemberRequest) -> HttpResponse:
    """The latest; a form posted here begins another. A script begins it empty, and then adds one picture at a time."""
    if request.method == "POST" and wants_json(request):
        begun = report_making.begin(request.user)
        return JsonResponse({"url": begun.get_absolute_url()}, status=HTTPStatus.CREATED)
    refused: Refused | None = None
    if request.method == "POST":
        try:
            entries = _entries_given(request)
            begun = report_making.begin(request.user)
            report_making.add(begun, entries)
            return redirect(begun)
        except Refused as error:
            refused = error
    context = {
        "reports": Report.objects.visible_to(request.user).for_lists()[:_REPORTS_SHOWN],
        "refused": refused,
        **_limits(),
    }
    status = refused.http_status if refused else HTTPStatus.OK
    return render(request, "search/reports.html", context, status=status)


def _entries_given(request: MemberRequest, *, keep: bool = True) -> list[Entry]:
    """In order. Raises Refused where there is nothing; what is wrong with a picture stands in its entry."""
    form = PicturesForm(request.POST, request.FILES)
    form.check()
    files = report_making.of_files(form.pictures, request.user, keep=keep)
    entries = files + report_making.of_urls(form.cleaned_data["urls"], request.user, keep=keep)
    for entry, place in zip(entries, form.places, strict=False):
        entry.place = place
    return entries


def _limits() -> dict[str, Any]:
    return {
        "accepted": gettext(ACCEPTED),
        "max_megabytes": settings.MAX_UPLOAD_BYTES // 1_000_000,
        "most_entries": report_making.MOST_ENTRIES,
    }


# --- one report -----------------------------------------------------------------------------------------------


@never_cache
@takes_forms
@for_members
def report(request: MemberRequest, report_id: int) -> HttpResponse:
    """What is posted here is added: a fragment is then its sections and the new summary."""
    shown = _get_report(request, report_id)
    form = ShownForm(request.GET, usual=shown.level)
    if request.method == "POST":
        return _add(request, shown, form)
    found = judged(shown, form.chosen_level)
    page = Paginator(found.shown(form.shown), _SECTIONS_A_PAGE).get_page(request.GET.get("page"))
    entries = shown.entries.filter(pk__in=page.object_list).defer("thumbnail")
    context = {
        **_summary(shown, form, found),
        "page": page,
        "next_place": found.next_place,
        "sections": sections(entries, form.chosen_level, request.user),
        **_limits(),
    }
    return respond(request, "search/report.html", "search/_report.html", context)


def _get_report(request: MemberRequest, report_id: int) -> Report:
    return get_object_or_404(Report.objects.visible_to(request.user), pk=report_id)


def _summary(shown: Report, form: ShownForm, found: Judged) -> dict[str, Any]:
    return {"report": shown, "form": form, "summary": found.summary}


def _add(request: MemberRequest, shown: Report, form: ShownForm) -> HttpResponse:
    try:
        added = report_making.add(shown, _entries_given(request))
    except Refused as refused:
        if not is_fragment(request):
            messages.error(request, refused.detail)
            return redirect(shown)
        return _as_json(refused)
    if not is_fragment(request):
        return redirect(shown)
    return _sections_of(request, shown, form, added)


def _sections_of(request: MemberRequest, shown: Report, form: ShownForm, added: Sequence[Entry]) -> HttpResponse:
    context = {
        **_summary(shown, form, judged(shown, form.chosen_level)),
        "sections": sections(added, form.chosen_level, request.user),
        "is_added": True,
    }
    return render(request, "search/_report_added.html", context)


def _as_json(refused: Refused) -> JsonResponse:
    return JsonResponse({"code": refused.code, "detail": refused.detail}, status=refused.http_status)


@require_POST
@for_members
def retry(request: MemberRequest, report_id: int, entry_id: int) -> HttpResponse:
    """A picture that was refused, once more: chosen again, or fetched again."""
    shown = _get_report(request, report_id)
    entry = get_object_or_404(shown.entries.select_related("picture"), pk=entry_id)
    given = request.FILES.getlist("picture")[:1]
    try:
        [tried] = report_making.of_files(given, request.user, keep=True) or [report_making.again(entry, request.user)]
    except Refused as refused:
        if is_fragment(request):
            return _as_json(refused)
        messages.error(request, refused.detail)
        return redirect(shown)
    tried.pk, tried.report, tried.place = entry.pk, shown, entry.place
    tried.save(force_update=True)
    if not is_fragment(request):
        return redirect(shown)
    return _sections_of(request, shown, ShownForm(request.GET, usual=shown.level), [tried])


@takes_forms
@for_members
def delete(request: MemberRequest, report_id: int) -> HttpResponse:
    """Asks first."""
    shown = _get_report(request, report_id)
    if request.method == "POST":
        shown.delete()
        messages.success(request, gettext("The report was deleted."))
        return redirect("search:reports")
    context = {
        "heading": gettext("Delete the report?"),
        "text": gettext("Its pictures and what was found for them are forgotten. Assets stay."),
        "back": shown.get_absolute_url(),
    }
    return respond(request, "gallery/confirm.html", "gallery/_confirm.html", context)


@require_safe
@for_members
def thumbnail(request: MemberRequest, report_id: int, entry_id: int) -> HttpResponse:
    entry = get_object_or_404(_get_report(request, report_id).entries.only("thumbnail"), pk=entry_id)
    if entry.thumbnail is None:
        raise Http404
    return HttpResponse(
        bytes(entry.thumbnail),
        content_type="image/jpeg",
        headers={"Cache-Control": "private, max-age=86400, immutable", "X-Content-Type-Options": "nosniff"},
    )


# --- as a file ------------------------------------------------------------------------------------------------


@never_cache
@require_safe
@for_members
def export(request: MemberRequest, report_id: int, kind: str) -> HttpResponseBase:
    shown = _get_report(request, report_id)
    form = ShownForm(request.GET, usual=shown.level)
    response = _EXPORTS[kind](request, shown, form)
    response["Content-Disposition"] = f'attachment; filename="report-{shown.pk}.{kind}"'
    return response


def _all_sections(request: MemberRequest, shown: Report, form: ShownForm, *, drawn: bool = False) -> list[Section]:
    """With their pictures at hand, where they are to be drawn."""
    entries = shown.entries.all() if drawn else shown.entries.defer("thumbnail")
    made = sections(entries, form.chosen_level, request.user)
    return [one for one in made if form.shown in {None, one.verdict}]


def _link(request: MemberRequest) -> report_exports.Link:
    def link(asset: Asset) -> str:
        return request.build_absolute_uri(asset.get_absolute_url())

    return link


def _export_csv(request: MemberRequest, shown: Report, form: ShownForm) -> HttpResponse:
    told = report_exports.as_csv(_all_sections(request, shown, form), _link(request))
    # the mark tells spreadsheets that it is UTF-8
    return HttpResponse("\ufeff" + told, content_type="text/csv; charset=utf-8")


def _export_json(request: MemberRequest, shown: Report, form: ShownForm) -> HttpResponse:
    made = _all_sections(request, shown, form)
    told = report_exports.as_json(shown, form.chosen_level, made, _link(request))
    return JsonResponse(told, json_dumps_params={"ensure_ascii": False, "indent": 2})


def _export_pdf(request: MemberRequest, shown: Report, form: ShownForm) -> HttpResponse:
    from search import report_pdf  # what writes PDF takes a second to load

    out, made = BytesIO(), _all_sections(request, shown, form, drawn=True)
    report_pdf.write(out, gettext("Match report"), _told_above(shown, form), made)
    return HttpResponse(out.getvalue(), content_type="application/pdf")


def _told_above(shown: Report, form: ShownForm) -> list[str]:
    summary = judged(shown, form.chosen_level).summary
    count = ngettext("%(count)s picture", "%(count)s pictures", summary.total) % {"count": intcomma(summary.total)}
    parts = [f"{intcomma(count)} {label.lower()}" for _, label, count in summary.parts]
    made = date_format(localtime(shown.created), "DATETIME_FORMAT")
    near = gettext("Near: closer than %(level)s of random pairs of this gallery") % {"level": form.level_in_words}
    return [" · ".join([made, shown.owner.get_username(), count, *parts]), near, *filter(None, [summary.caveat])]


_EXPORTS = {"csv": _export_csv, "json": _export_json, "pdf": _export_pdf}


@never_cache
@require_safe
@for_members
def sheet(request: MemberRequest, report_id: int) -> HttpResponse:
    """To be printed."""
    shown = _get_report(request, report_id)
    form = ShownForm(request.GET, usual=shown.level)
    told = _told_above(shown, form)
    context = {"report": shown, "form": form, "told": told, "sections": _all_sections(request, shown, form)}
    return render(request, "search/report_sheet.html", context)


# --- without keeping anything ---------------------------------------------------------------------------------


@never_cache
@takes_forms
@for_members
def have(request: MemberRequest) -> HttpResponse:
    """Which of some pictures are there. Nothing is kept of them."""
    usual = level_for(Asset.objects.filter(status=Asset.Status.READY).count())
    made: list[Section] = []
    refused: Refused | None = None
    if request.method == "POST":
        try:
            link = _link(request)
            looked_for = sections(_entries_given(request, keep=False), usual, request.user)
            made = [report_exports.as_told(one, link) for one in looked_for]
        except Refused as error:
            if is_fragment(request):
                return _as_json(error)
            refused = error
    context = {
        "sections": made,
        "tally": summarised([one.verdict for one in made], 0).tally,
        "columns": report_exports.columns(),
        "refused": refused,
        **_limits(),
    }
    status = refused.http_status if refused else HTTPStatus.OK
    return respond(request, "search/have.html", "search/_have_sections.html", context, status=status)
