"""Signing in, slowed for whoever guesses passwords."""

from typing import Any, cast

from django.contrib import messages
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

from assetsearch.api import TokenThrottle


class Slowed(AuthenticationForm):
    """As many attempts to one address as the API allows for tokens; both count together."""

    is_slowed = False

    def clean(self) -> dict[str, Any]:
        # the throttle asks a request for its address and its user alone, and Django's has both
        if not TokenThrottle().allow_request(cast("Any", self.request), cast("Any", None)):
            self.is_slowed = True
            raise ValidationError(_("There were too many attempts. Wait a minute, then try again."), code="throttled")
        return super().clean()


class SlowedAdmin(Slowed, AdminAuthenticationForm):
    """The same at the admin's door."""


class PasswordView(PasswordChangeView):
    """One's own, which whoever knows the old one changes. Other sessions of the account end."""

    template_name = "registration/password.html"
    success_url = reverse_lazy("search:search")

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        messages.success(self.request, _("The password is changed. Elsewhere you are signed out."))
        return super().form_valid(form)
