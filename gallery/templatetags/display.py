"""How things are shown."""

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

from gallery.images import SUFFIXES
from gallery.models import Asset, may_download_originals

register = template.Library()
register.filter(may_download_originals)

#: Proportions that a row of tiles gives room to; what is longer or taller is cropped by the tile.
_NARROWEST, _WIDEST = 0.5, 3.0
#: The style sheet has a class for each twentieth.
_STEPS = 20


@register.simple_tag
def icon(name: str) -> SafeString:
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>', static("icons.svg"), name)


@register.simple_tag
def accepted_files() -> str:
    """For a file field. Not every system knows every suffix for one of a picture."""
    return ",".join(["image/*", *sorted(SUFFIXES)])


@register.filter
def ratio_class(asset: Asset) -> str:
    """The class of a tile as wide as the picture is. A style attribute would need a lax policy."""
    ratio = min(max(asset.width / asset.height, _NARROWEST), _WIDEST)
    return f"ratio-{round(ratio * _STEPS) * 100 // _STEPS}"


@register.filter
def percent(share: float) -> str:
    """A share in [0, 1] as a length; what lies outside is drawn as the nearest that does not."""
    return f"{min(max(share, 0.0), 1.0):.1%}"
