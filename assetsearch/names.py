"""What models and their fields are called, and what is said beside fields, in the language of whoever reads it.

Django makes most names from those of classes and attributes, so that no source marks them. Each is looked up when it is
shown; `make messages` asks the models what there is to translate. Migrations know nothing of it.
"""

from collections.abc import Iterator

from django.apps import apps
from django.db.models import Field, Model
from django.utils.translation import gettext_lazy

#: Ours, and those that are not in Chinese, or in part.
_APPS = ("gallery", "search", "django_q")
#: What the admin of tasks calls its columns.
_OF_TASKS = (
    gettext_lazy("Queue options"),
    gettext_lazy("Short result"),
    gettext_lazy("Time Taken"),
    gettext_lazy("success"),
    gettext_lazy("last_run"),
)


def models() -> Iterator[type[Model]]:
    for label in _APPS:
        yield from apps.get_app_config(label).get_models()


def fields(model: type[Model]) -> list["Field[object, object]"]:
    meta = model._meta  # noqa: SLF001 (public, so named)
    return [*meta.local_fields, *meta.local_many_to_many]


def translate() -> None:
    """Once, before anything is made of the models that keeps what they are called."""
    for model in models():
        meta = model._meta  # noqa: SLF001 (public, so named)
        meta.verbose_name = gettext_lazy(str(meta.verbose_name))
        meta.verbose_name_plural = gettext_lazy(str(meta.verbose_name_plural))
        for field in fields(model):
            field.verbose_name = gettext_lazy(str(field.verbose_name))
            if field.help_text:
                field.help_text = gettext_lazy(str(field.help_text))


def texts() -> Iterator[str]:
    """All of it, in English."""
    for model in models():
        meta = model._meta  # noqa: SLF001 (public, so named)
        yield from (str(meta.verbose_name), str(meta.verbose_name_plural))
        for field in fields(model):
            yield from (str(text) for text in (field.verbose_name, field.help_text) if text)
