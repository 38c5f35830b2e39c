from django.urls import path

from search import views

app_name = "search"
urlpatterns = [
    path("", views.search, name="search"),
    path("assets/<int:asset_id>/similar/", views.similar, name="similar"),
    path("assets/<int:asset_id>/retry/", views.retry, name="retry"),
    path("encoder/understood/", views.dismiss_banner, name="dismiss_banner"),
]
