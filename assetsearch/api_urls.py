from django.urls import include, path, re_path
from django.views.generic import TemplateView
from rest_framework.routers import SimpleRouter

from assetsearch.api import NothingHere, SchemaView, TokenView
from gallery.api import AssetViewSet
from gallery.import_api import ImportViewSet
from search.api import CheckView, SameView, SearchView, SimilarView, StatusView

router = SimpleRouter()
router.register("assets", AssetViewSet, basename="asset")
router.register("imports", ImportViewSet, basename="import")

app_name = "api"
urlpatterns = [
    path("token/", TokenView.as_view(), name="token"),
    path("assets/check/", CheckView.as_view(), name="asset-check"),
    path("assets/<int:pk>/similar/", SimilarView.as_view(), name="asset-similar"),
    path("assets/<int:pk>/same/", SameView.as_view(), name="asset-same"),
    path("", include(router.urls)),
    path("search/", SearchView.as_view(), name="search"),
    path("status/", StatusView.as_view(), name="status"),
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", TemplateView.as_view(template_name="api_docs.html"), name="docs"),
    re_path("", NothingHere.as_view()),
]
