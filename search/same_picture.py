"""Which assets show the same picture in other bytes: re-encoded, resized, slightly cropped.

Told by two judges that err differently, and must agree: the encoder's vectors, by which scenes may merely look alike,
and the perceptual hash, which tells those apart, and means nothing of pictures without structure.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gallery.errors import Refused
from gallery.models import Asset, Viewer
from gallery.perceptual_hash import hamming, perceptual_hash
from search import query, serving
from search.answers import Hit
from search.models import Encoder
from search.pictures import Picture, open_picture
from search.query import Part, Wanted

logger = logging.getLogger(__name__)

#: Bits of 64. Of 1,400 photographs no two are so close, and their copies are (docs/uploads.md).
MOST_BITS_APART = 8
#: Cosine similarity, by encoder: nearly all copies of these photographs reach it.
_LEAST_SIMILARITY = {"descriptor": 0.95}
#: Of encoders that were not measured: low enough for thumbnails, since it is the hash that tells scenes apart.
_LEAST_SIMILARITY_ELSE = 0.9
#: Nearest assets that are judged.
_NEAREST = 20
#: Shorter side of a preview that is hashed: at most 4 bits off the upload's, as a rule none. At 64 px, 6 were seen.
_HASHED_PX = 256


@dataclass(frozen=True)
class Match:
    """An asset that shows the same picture as another, in other bytes."""

    asset: Asset
    similarity: float
    #: Bits of 64 in which their perceptual hashes differ.
    bits_apart: int


def identical_to(picture: Picture, viewer: Viewer) -> Asset | None:
    """The asset of the same bytes. Raises Refused (too_large)."""
    return Asset.objects.visible_to(viewer).filter(sha256=picture.sha256).first()


def same_as(picture: Picture, viewer: Viewer) -> list[Match]:
    """Assets that the viewer may see and that show the same picture in other bytes, likest first. Raises Refused.

    Of a stored asset or of a file, which is not stored. Assets are found once they are analysed.
    """
    row = query.active_encoder()
    at = replace(serving.of(row), has_rules=False)  # rules say what a search shows, not what there is
    wanted = Wanted(k=_NEAREST, min_similarity=least_similarity(row))
    [answer] = query.like_each([Part(picture)], wanted, at=at)
    candidates = _visible([hit for hit in answer.results if hit.asset.sha256 != picture.sha256], viewer)
    if not candidates:  # as a rule: a picture from outside is then not decoded once more
        return []
    return same_among(candidates, _hash_of(picture), row)


def same_among(hits: Sequence[Hit], own_hash: int, row: Encoder) -> list[Match]:
    """Which of some hits show the picture that was searched with and has this perceptual hash, likest first."""
    likely = [hit for hit in hits if hit.similarity >= least_similarity(row)]
    matches = [_match(hit, own_hash) for hit in likely]
    return [match for match in matches if match and match.bits_apart <= MOST_BITS_APART]


def least_similarity(row: Encoder) -> float:
    return _LEAST_SIMILARITY.get(row.name, _LEAST_SIMILARITY_ELSE)


def _visible(hits: Sequence[Hit], viewer: Viewer) -> list[Hit]:
    if not hits:
        return []
    found = Asset.objects.visible_to(viewer).filter(pk__in=[hit.asset.pk for hit in hits])
    visible = set(found.values_list("pk", flat=True))
    return [hit for hit in hits if hit.asset.pk in visible]


def _match(hit: Hit, own: int) -> Match | None:
    """None where the hash of the hit is unknown and cannot be made up for."""
    try:
        return Match(hit.asset, hit.similarity, hamming(own, _hash_of(Picture(hit.asset))))
    except Refused as refused:
        logger.warning("Asset %s is compared with nothing: %s", hit.asset.pk, refused)
        return None


def _hash_of(picture: Picture) -> int:
    """Of an asset from before hashes were stored it is made now, and kept. Raises Refused."""
    asset = picture.source if isinstance(picture.source, Asset) else None
    if asset and asset.perceptual_hash is not None:
        return asset.perceptual_hash
    made = perceptual_hash(open_picture(picture, _HASHED_PX))
    if asset:
        Asset.objects.filter(pk=asset.pk, perceptual_hash=None).update(perceptual_hash=made)
    return made
