"""What rules do to hits after the vectors have spoken, and how near-identical hits become one.

Several rules can speak of one asset: to hide it wins, then to pin it. Pinned hits stand above all others, in order of
similarity; boosts of the others add up, and decide where they stand, not what similarity is shown.

Pins and boosts choose among the DEPTH nearest: they lift what looks alike, and bring in nothing that does not.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import itemgetter

import numpy as np
from django.db.models import Exists, OuterRef

from gallery.models import Asset, AssetQuerySet
from search import vectors
from search.answers import Hit
from search.models import Rule
from search.vectors import FloatArray

#: How many of the nearest pins and boosts choose among, whatever k is: so that ten hits are the first ten of fifty.
DEPTH = 200

#: Cosine similarity from which pictures are near-identical. By the built-in encoder on 1,400 photographs all copies at
#: 70 % size and JPEG quality 60 reach 0.9918 with their originals and 0.9907 with copies at full size and quality 60;
#: of those at 25 % size a third reach 0.99. Of distinct photographs 4 pairs in 979,300 do, each of one scene at one
#: moment; 14 reach 0.985, some of them with the subject moved, and 76 reach 0.97.
NEAR_IDENTICAL = 0.99

#: (pinned, score): what a hit is ranked by.
_Standing = tuple[bool, float]


def depth(k: int, rules: Sequence[Rule]) -> int:
    """How many of the nearest to fetch for k to be chosen from."""
    moves = any(rule.action != Rule.Action.HIDE for rule in rules)
    return max(k, DEPTH) if moves else k


def without_hidden(among: AssetQuerySet | None, rules: Sequence[Rule]) -> AssetQuerySet | None:
    """The assets to search among (None for every asset) less those that a rule hides."""
    hiding = [rule for rule in rules if rule.action == Rule.Action.HIDE]
    if not hiding:
        return among
    tags = [rule.tag_id for rule in hiding if rule.tag_id]
    tagged = Asset.tags.through.objects.filter(asset=OuterRef("pk"), tag__in=tags)
    collections = [rule.collection_id for rule in hiding if rule.collection_id]
    everything = Asset.objects.all() if among is None else among
    return everything.exclude(collection__in=collections).exclude(Exists(tagged))


def applied(hits: Sequence[Hit], rules: Sequence[Rule]) -> list[Hit]:
    """The hits as the rules have them: fewer where some are hidden, in the order to show them, ranks not yet numbered.

    Asks the database for nothing where the assets come with their tags, as `Tag.objects.keep_with` fetches them.
    """
    judged = [_judged(hit, _rules_of(hit.asset, rules)) for hit in hits]
    shown = [verdict for verdict in judged if verdict]
    return [hit for _, hit in sorted(shown, key=itemgetter(0), reverse=True)]  # equals keep their order


def _rules_of(asset: Asset, rules: Sequence[Rule]) -> list[Rule]:
    tags = {tag.pk for tag in asset.tag_list}
    return [
        rule for rule in rules if (rule.tag_id in tags if rule.tag_id else rule.collection_id == asset.collection_id)
    ]


def _judged(hit: Hit, rules: Sequence[Rule]) -> tuple[_Standing, Hit] | None:
    """Where a hit stands by the rules of its asset; None where it is hidden."""
    actions = {rule.action for rule in rules}
    if Rule.Action.HIDE in actions:
        return None
    if Rule.Action.PIN in actions:
        return (True, hit.similarity), replace(hit, rule="pin")
    boost = sum(rule.amount for rule in rules)
    return (False, hit.similarity + boost), replace(hit, rule="boost") if boost else hit


def collapsed(hits: Sequence[Hit], stored: Mapping[int, FloatArray]) -> list[Hit]:
    """The hits, each with the count of those further down that it stands for; those are left out.

    `stored` has the (d,) float32 vectors by asset id; a hit without one stands for itself.
    """
    known = [hit.asset.pk for hit in hits if hit.asset.pk in stored]
    if not known:
        return list(hits)
    leading = leaders(np.stack([stored[asset_id] for asset_id in known]))
    stands_for = dict(zip(known, [known[row] for row in leading], strict=True))
    shares = Counter(stands_for.get(hit.asset.pk, hit.asset.pk) for hit in hits)
    return [replace(hit, alike=shares[hit.asset.pk] - 1) for hit in hits if hit.asset.pk in shares]


def leaders(ranked: FloatArray) -> list[int]:
    """For each of (n, d) vectors, best-ranked first, the row that stands for it: the first near-identical leader.

    Greedy: a row that none before it stands for leads. So two that are alike to one leader need not be alike to each
    other, but no row is further than NEAR_IDENTICAL from what stands for it. O(n^2) in time and memory.
    """
    directions = vectors.unit(ranked)  # half precision leaves lengths a little off 1
    alike = directions @ directions.T >= NEAR_IDENTICAL
    leader = np.full(len(ranked), -1)
    for row in range(len(ranked)):
        if leader[row] < 0:
            leader[alike[row] & (leader < 0)] = row
    return [int(row) for row in leader]
