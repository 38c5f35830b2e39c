"""What is said of a picture that was looked for: it is there, something near it is, or nothing is.

Near is what is closer than a share of random pairs, the level. The larger the gallery, the closer its nearest is by
chance alone: of 10,000 assets, one is closer than 99.99 % of random pairs to whatever is looked for.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

#: Shares of random pairs, to choose from.
LEVELS = (0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999)
#: Cosine similarity from which a hit is near in galleries that are too small to be calibrated.
UNCALIBRATED_SIMILARITY = 0.9
UNCALIBRATED_TOLD = _(
    "Of those for which it was not known how close random pairs of the gallery are, as with fewer than 50 pictures, "
    "near is a similarity of 0.9 or more, whatever the level."
)


class Verdict(models.TextChoices):
    FOUND = "found", _("Found")
    NEAR = "near", _("Near")
    MISSING = "missing", _("No close match")
    REFUSED = "refused", _("Refused")


def verdict(code: str, match: str, closer_than: float | None, similarity: float | None, level: float) -> Verdict:
    """By the refusal's code, whether the picture itself was matched, and the best hit's scores, None where unknown."""
    if code:
        return Verdict.REFUSED
    if match:
        return Verdict.FOUND
    if closer_than is None:
        return Verdict.NEAR if (similarity or 0) >= UNCALIBRATED_SIMILARITY else Verdict.MISSING
    return Verdict.NEAR if closer_than >= level else Verdict.MISSING


def level_for(assets: int) -> float:
    """The least level that in a gallery of so many assets chance alone reaches less than once for a picture."""
    return next((level for level in LEVELS if (1 - level) * assets < 1), LEVELS[-1])
