from django.urls import path, re_path

from search import compare_views, report_views, same_views, saved_views, views, work_views
from search.query_models import KEY_PATTERN

app_name = "search"
urlpatterns = [
    path("", views.search, name="search"),
    re_path(rf"^pictures/(?P<key>{KEY_PATTERN})\.jpg$", views.query_picture, name="query_picture"),
    path("searches/facets/", views.facets, name="facets"),
    path("searches/", saved_views.saved, name="saved"),
    path("searches/save/", saved_views.save, name="save"),
    path("searches/<int:search_id>/rename/", saved_views.rename, name="rename_saved"),
    path("searches/<int:search_id>/delete/", saved_views.delete, name="delete_saved"),
    path("compare/", compare_views.compare, name="compare"),
    path("compare/another/", compare_views.another, name="compare_another"),
    path("compare/mark/", compare_views.mark, name="compare_mark"),
    path("assets/<int:asset_id>/similar/", views.similar, name="similar"),
    path("assets/<int:asset_id>/same/", same_views.same, name="same"),
    path("upload/check/", same_views.check, name="check"),
    path("assets/<int:asset_id>/retry/", views.retry, name="retry"),
    path("work/", work_views.work, name="work"),
    path("work/badge/", work_views.badge, name="work_badge"),
    path("work/embedding/<int:encoder_id>/pause/", work_views.pause, name="pause_embedding"),
    path("work/embedding/<int:encoder_id>/resume/", work_views.resume, name="resume_embedding"),
    path("work/builds/<int:build_id>/cancel/", work_views.cancel_build, name="cancel_build"),
    path("work/builds/<int:build_id>/pause/", work_views.pause_build, name="pause_build"),
    path("work/builds/<int:build_id>/resume/", work_views.resume_build, name="resume_build"),
    path("work/builds/<int:build_id>/retry/", work_views.retry_build, name="retry_build"),
    path("work/failures/", work_views.failures, name="failures"),
    path("work/failures/retry/", work_views.retry_failures, name="retry_failures"),
    path("reports/", report_views.reports, name="reports"),
    path("reports/have/", report_views.have, name="have"),
    path("reports/<int:report_id>/", report_views.report, name="report"),
    path("reports/<int:report_id>/delete/", report_views.delete, name="report_delete"),
    path("reports/<int:report_id>/sheet/", report_views.sheet, name="report_sheet"),
    path("reports/<int:report_id>/report.csv", report_views.export, {"kind": "csv"}, name="report_csv"),
    path("reports/<int:report_id>/report.json", report_views.export, {"kind": "json"}, name="report_json"),
    path("reports/<int:report_id>/report.pdf", report_views.export, {"kind": "pdf"}, name="report_pdf"),
    path("reports/<int:report_id>/<int:entry_id>/", report_views.retry, name="report_retry"),
    path("reports/<int:report_id>/<int:entry_id>/picture.jpg", report_views.thumbnail, name="report_thumbnail"),
    path("encoder/understood/", views.dismiss_banner, name="dismiss_banner"),
]
