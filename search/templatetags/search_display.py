"""How what a search found is shown."""

from django import template

from search import calibration

register = template.Library()
register.filter("in_words", calibration.in_words)
