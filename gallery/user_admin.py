"""The admin of users and groups. What would go along with a user is counted and not listed: 100,000 assets, perhaps."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.auth import get_permission_codename
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import CASCADE, PROTECT, Count, ManyToManyField, QuerySet, Value
from django.db.models.options import Options
from django.forms import ModelMultipleChoiceField
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

#: What each of Django's own permissions lets one do. The database keeps them in English.
_ALLOWED = {
    "add": gettext_noop("Can add %(model)s"),
    "change": gettext_noop("Can change %(model)s"),
    "delete": gettext_noop("Can delete %(model)s"),
    "view": gettext_noop("Can view %(model)s"),
}

admin.site.unregister([User, Group])


class PermissionsField(ModelMultipleChoiceField[Permission]):
    """Permissions to choose among, in the language of whoever chooses."""

    def label_from_instance(self, permission: Permission) -> str:
        model = permission.content_type.model_class()
        verb = permission.codename.partition("_")[0]
        meta = model._meta if model else None  # noqa: SLF001 (public, so named)
        if meta is None or verb not in _ALLOWED or permission.codename != get_permission_codename(verb, meta):
            return str(permission)
        return f"{permission.content_type} | {_(_ALLOWED[verb]) % {'model': meta.verbose_name}}"


class _ChoosesPermissions(admin.ModelAdmin[Any]):
    def formfield_for_manytomany(
        self, db_field: ManyToManyField[Any, Any], request: HttpRequest | None = None, **kwargs: Any
    ) -> ModelMultipleChoiceField[Any] | None:
        if db_field.related_model is Permission:
            kwargs["form_class"] = PermissionsField
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[arg-type]  # always given


@admin.register(Group)
class TeamAdmin(_ChoosesPermissions, GroupAdmin):
    pass


@admin.register(User)
class AccountAdmin(_ChoosesPermissions, UserAdmin):  # type: ignore[type-arg]
    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[Any, int], set[Any], list[Any]]:
        """As Django's, in two queries."""
        users = list(objs)
        held, going = counts_of(users, PROTECT), counts_of(users, CASCADE)
        counted = {self.opts.verbose_name_plural: len(users)}
        counted |= {model.verbose_name_plural: count for model, count in going.items()}
        lacking = {model.verbose_name for model in going if not self._may_go(model, request)}
        kept = [_held(model, count, users) for model, count in held.items()]
        return [self._linked(user) for user in users], counted, lacking, kept

    def _may_go(self, model: Options[Any], request: HttpRequest) -> bool:
        """What nobody deletes by itself, as a past import, goes with its owner all the same."""
        named = f"{model.app_label}.{get_permission_codename('delete', model)}"
        return not self.admin_site.is_registered(model.model) or bool(request.user.has_perm(named))

    def _linked(self, user: User) -> str:
        address = reverse("admin:auth_user_change", args=[user.pk])
        return format_html('{}: <a href="{}">{}</a>', capfirst(self.opts.verbose_name), address, user)


def _held(model: Options[Any], count: int, users: list[User]) -> SafeString:
    """What has to go to somebody else first, and a way around that."""
    keys = ",".join(str(user.pk) for user in users)
    return format_html(
        '{}: <a href="{}?owner__in={}&amp;trash=any">{}</a>. {}',
        capfirst(model.verbose_name_plural),
        reverse(f"admin:{model.app_label}_{model.model_name}_changelist"),
        keys,
        intcomma(count),
        _(
            "Hand them over to another user first: an action of that list. Or untick “Active” instead: "
            "who is not active cannot sign in."
        ),
    )


def counts_of(users: Iterable[User], on_delete: object) -> dict[Options[Any], int]:
    """How many rows refer to these users such that deleting them does this, by the model's options; none of no row."""
    keys = [user.pk for user in users]
    referring = [one.field for one in User._meta.related_objects if one.on_delete is on_delete]  # noqa: SLF001 (public)
    models = [field.model._meta for field in referring]  # noqa: SLF001
    first, *others = [
        QuerySet(field.model)
        .filter(**{f"{field.name}__in": keys})
        .order_by()
        .values(place=Value(place))
        .annotate(count=Count("pk"))
        for place, field in enumerate(referring)
    ]
    found = first.union(*others, all=True).values_list("place", "count")
    return {models[place]: count for place, count in found if count}
