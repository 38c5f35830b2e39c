"""The admin of rules."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from search.models import Rule


class RuleForm(forms.ModelForm[Rule]):
    def clean_amount(self) -> float:
        amount: float = self.cleaned_data["amount"]
        is_boost = self.cleaned_data.get("action") == Rule.Action.BOOST
        if is_boost and not amount:
            raise forms.ValidationError(_("Say how much to add to the similarity, or take away from it."))
        if amount and not is_boost:
            raise forms.ValidationError(_("Only a boost has an amount; for the others it is 0."))
        return amount


@admin.register(Rule)
class RuleAdmin(admin.ModelAdmin[Rule]):
    form = RuleForm
    list_display = ["action", "tag", "collection", "amount", "is_enabled", "note"]
    list_editable = ["is_enabled"]
    list_select_related = ["tag", "collection"]
    list_filter = ["action", "is_enabled"]
    search_fields = ["tag__name", "collection__name", "note"]
    autocomplete_fields = ["tag", "collection"]
    fields = ["action", "tag", "collection", "amount", "is_enabled", "note"]

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> type[forms.ModelForm[Rule]]:
        switch = forms.CheckboxInput({"aria-label": _("is enabled")})
        return super().get_changelist_form(request, widgets={"is_enabled": switch}, **kwargs)
