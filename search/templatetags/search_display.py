"""How what a search is by, and what it found, is shown."""

from django import template

from search import calibration
from search.asked import Asked

register = template.Library()
register.filter("in_words", calibration.in_words)


@register.simple_tag
def joined(*query_strings: str) -> str:
    """Those of some query strings that are not empty, as one."""
    return "&".join(filter(None, query_strings))


@register.filter
def more_like(asked: Asked, key: object) -> str:
    """The query string of a search that is by this picture as well."""
    return asked.more_like(str(key)).query()


@register.filter
def less_like(asked: Asked, key: object) -> str:
    return asked.less_like(str(key)).query()


@register.filter
def without(asked: Asked, key: object) -> str:
    return asked.without(str(key)).query()
