from django.urls import path

from search import compare_views, same_views, views

app_name = "search"
urlpatterns = [
    path("", views.search, name="search"),
    path("compare/", compare_views.compare, name="compare"),
    path("compare/another/", compare_views.another, name="compare_another"),
    path("compare/mark/", compare_views.mark, name="compare_mark"),
    path("assets/<int:asset_id>/similar/", views.similar, name="similar"),
    path("assets/<int:asset_id>/same/", same_views.same, name="same"),
    path("upload/check/", same_views.check, name="check"),
    path("assets/<int:asset_id>/retry/", views.retry, name="retry"),
    path("encoder/understood/", views.dismiss_banner, name="dismiss_banner"),
]
