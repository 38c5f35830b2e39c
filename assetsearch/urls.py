from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path
from django.views.decorators.cache import cache_control
from django.views.i18n import JavaScriptCatalog

from assetsearch import health, keys, login, preferences, telemetry

admin.site.login_form = login.SlowedAdmin
handler500 = "assetsearch.unavailable.server_error"

urlpatterns = [
    path("admin/", admin.site.urls),
    path(
        "login/",
        auth_views.LoginView.as_view(redirect_authenticated_user=True, authentication_form=login.Slowed),
        name="login",
    ),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("password/", login.PasswordView.as_view(), name="password"),
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("metrics", telemetry.metrics, name="metrics"),
    path("language/", include("django.conf.urls.i18n")),
    path("language/catalogue.js", cache_control(max_age=300)(JavaScriptCatalog.as_view()), name="catalogue"),
    path("keys/", keys.keys, name="keys"),
    path("theme/", preferences.theme, name="theme"),
    path("api/v1/", include("assetsearch.api_urls", namespace="api")),
    path("", include("gallery.urls")),
    path("", include("search.urls")),
]
