"""The admin's first page begins with how things are."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse


class Site(admin.AdminSite):
    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        from search.admin import overview

        shown = {"overview": overview.of(request.user)} if request.user.has_perm("gallery.view_asset") else {}
        return super().index(request, {**(extra_context or {}), **shown})
