"""How things are shown."""

from datetime import datetime, timedelta
from math import ceil
from typing import Any

from django import template
from django.conf import settings
from django.template import Context
from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import now
from django.utils.translation import gettext, ngettext

from gallery.errors import reason_label
from gallery.formats import ACCEPTED, SHOWN_BY_BROWSERS, SUFFIXES
from gallery.images import PREVIEW_LONG_EDGE_PX, THUMBNAIL_LONG_EDGE_PX
from gallery.models import Asset, may_download_originals
from gallery.reasons import retold
from gallery.web import act_of

register = template.Library()
register.filter(may_download_originals)
register.filter(act_of)
register.filter(reason_label)
register.filter(retold)

#: Proportions that a row of tiles gives room to; what is longer or taller is cropped by the tile.
_NARROWEST, _WIDEST = 0.5, 3.0
#: The style sheet has a class for each twentieth.
_STEPS = 20
_MINUTE_S = 60


@register.simple_tag
def icon(name: str) -> SafeString:
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>', static("icons.svg"), name)


@register.simple_tag(takes_context=True)
def lightbox(context: Context, asset: Asset) -> SafeString:
    """The attributes of a link to an asset's page that make it open in the lightbox."""
    preview, download, facts = (
        reverse(f"gallery:{name}", args=[asset.pk]) for name in ("preview", "download", "facts")
    )
    may_download = may_download_originals(context["user"])
    return format_html(
        'data-lightbox data-title="{}" data-width="{}" data-height="{}" data-preview="{}" data-facts="{}"{}',
        asset.title,
        asset.width,
        asset.height,
        preview,
        facts,
        _downloads(asset, download) if may_download else "",
    )


def _downloads(asset: Asset, original: str) -> SafeString:
    """Where the original is, and what to show of it to who zooms in beyond the preview."""
    return format_html(' data-download="{}" data-sharper="{}"', original, _sharper(asset, original))


def _sharper(asset: Asset, original: str) -> str:
    """Empty where nothing that a browser shows has more pixels than the preview."""
    if max(asset.width, asset.height) <= PREVIEW_LONG_EDGE_PX:
        return ""
    if asset.format in SHOWN_BY_BROWSERS:
        return original
    largest = max(asset.smaller_sizes_px, default=0)
    return f"{original}?size={largest}" if largest > PREVIEW_LONG_EDGE_PX else ""


@register.simple_tag
def accepted_files() -> str:
    """For a file field. Not every system knows every suffix for one of a picture."""
    return ",".join(["image/*", *sorted(SUFFIXES)])


@register.inclusion_tag("gallery/_uploads.html", takes_context=True)
def uploads(context: Context) -> dict[str, Any]:
    """The panel of uploads. The script refuses by these limits what the server would refuse."""
    return {
        "user": context["user"],
        "accepted": gettext(ACCEPTED),
        "suffixes": ",".join(sorted(SUFFIXES)),
        "max_megabytes": settings.MAX_UPLOAD_BYTES // 1_000_000,
    }


@register.filter
def ratio_class(asset: Asset) -> str:
    """The class of a tile as wide as the picture is. A style attribute would need a lax policy."""
    ratio = min(max(asset.width / asset.height, _NARROWEST), _WIDEST)
    return f"ratio-{round(ratio * _STEPS) * 100 // _STEPS}"


@register.filter
def srcset(asset: Asset) -> str:
    """The renditions, each with its width."""
    sides = {"gallery:thumbnail": THUMBNAIL_LONG_EDGE_PX, "gallery:preview": PREVIEW_LONG_EDGE_PX}
    longest = max(asset.width, asset.height)
    return ", ".join(
        f"{reverse(name, args=[asset.pk])} {max(1, asset.width * min(side, longest) // longest)}w"
        for name, side in sides.items()
    )


@register.filter
def percent(share: float) -> str:
    """A share in [0, 1] as a length; what lies outside is drawn as the nearest that does not."""
    return f"{min(max(share, 0.0), 1.0):.1%}"


@register.filter
def days_until(moment: datetime) -> int:
    """Those that have begun count."""
    return max(0, ceil((moment - now()) / timedelta(days=1)))


@register.filter
def roughly(time: timedelta) -> str:
    """In one unit, as people say it."""
    seconds = max(1, round(time.total_seconds()))
    if seconds < _MINUTE_S:
        return ngettext("%(count)d second", "%(count)d seconds", seconds) % {"count": seconds}
    minutes = round(seconds / _MINUTE_S)
    if minutes < 2 * 60:
        return ngettext("%(count)d minute", "%(count)d minutes", minutes) % {"count": minutes}
    hours = round(minutes / 60)
    return ngettext("%(count)d hour", "%(count)d hours", hours) % {"count": hours}
