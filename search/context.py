"""What every page says of the encoder."""

from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from search.encoders import descriptor
from search.models import Encoder

#: In a session: its reader has seen the banner and closed it.
DISMISSED = "encoder_banner_dismissed"
#: Named where none was asked for that searches by meaning.
_BY_MEANING = "dinov2-base"


def encoder_banner(request: HttpRequest) -> dict[str, Any]:
    """The built-in encoder serves only where DINOv2 could not be had: people should know."""
    user = getattr(request, "user", None)  # there is none where the request was turned away at the door
    if not (user and (user.is_authenticated or settings.PUBLIC_READ)):
        return {}
    return {
        "may_read": True,
        "serving_encoder": cache(_name_of_serving),  # asked for once, and only by templates that show it
        "built_in_encoder": descriptor.SPEC.name,
        "wanted_encoder": settings.ENCODER,
        "encoder_by_meaning": settings.ENCODER if descriptor.SPEC.name != settings.ENCODER else _BY_MEANING,
        "is_banner_dismissed": DISMISSED in request.session,
    }


def _name_of_serving() -> str:
    row = Encoder.objects.active()
    return row.name if row else ""
