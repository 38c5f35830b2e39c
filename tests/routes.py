"""The addresses of all pages that gallery, search, the project and its admin have, by their routes."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib import admin
from django.urls import URLPattern, get_resolver, reverse


def addresses(things: Mapping[str, Any]) -> Iterator[str]:
    """Of a thing of each kind, under the names that routes have for them."""
    for resolver in get_resolver().url_patterns:
        for pattern in getattr(resolver, "url_patterns", [resolver]):
            namespace = getattr(resolver, "namespace", None)
            if namespace in {None, "gallery", "search"} and pattern.name:
                wanted = {name: things[name] for name in pattern.pattern.converters | pattern.pattern.regex.groupindex}
                yield reverse(f"{namespace}:{pattern.name}" if namespace else pattern.name, kwargs=wanted)


def addresses_of_admin(rows: Mapping[str, str | None]) -> Iterator[str]:
    """Of the admin's own pages, and of every model's of which there is a row: its key by the model's label."""
    yield from (reverse("admin:app_list", args=[label]) for label in sorted({one.split(".")[0] for one in rows}))
    for pattern in admin.site.get_urls():
        if isinstance(pattern, URLPattern) and not pattern.pattern.converters and not pattern.pattern.regex.groupindex:
            yield reverse(f"admin:{pattern.name}")
    for model, model_admin in admin.site._registry.items():
        for pattern in model_admin.get_urls():
            if pattern.name:
                yield reverse(
                    f"admin:{pattern.name}", args=[rows[model._meta.label] for _ in pattern.pattern.converters]
                )
