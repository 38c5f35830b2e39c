"""What is evaluated: vectors to search in, and queries with what each should find; of folders, or of the gallery."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from django.utils.translation import gettext_noop as _
from PIL import Image

from gallery.errors import Code, Refused
from gallery.models import Asset
from search import stored
from search.encoders import ImageEncoder
from search.evaluation.consistency import Consistency, consistency
from search.evaluation.folders import Embedded, Progress, embed_files, open_view
from search.evaluation.layouts import Task
from search.evaluation.revisited import Judged
from search.models import Encoder
from search.pictures import Picture, open_picture
from search.vectors import FloatArray

#: How assets of the gallery can be labelled.
LABELS = ("collection", "tag")


@dataclass(frozen=True)
class Query:
    """`judge` gives what is right, by protocol, by names: made when asked for, since a set a query takes the square."""

    name: str
    vector: FloatArray
    judge: Callable[[], Mapping[str, Judged]]
    label: str = ""

    @property
    def judged(self) -> Mapping[str, Judged]:
        return self.judge()


@dataclass(frozen=True)
class Problem:
    """`names` are of the (n, d) unit vectors to search in, no two alike; `labels` are theirs, empty where none.

    `open` gives the picture of a name, a query's or one to search in, upright, its shorter side no less than so many
    pixels. It raises Refused.
    """

    name: str
    names: Sequence[str]
    vectors: FloatArray
    labels: Sequence[str]
    queries: Sequence[Query]
    open: Callable[[str, int], Image.Image]
    #: For whoever reads the figures: what was left out, and why.
    notes: Sequence[str] = ()
    #: Of the gallery's assets.
    asset_ids: Sequence[int] = ()

    @cached_property
    def consistency(self) -> Consistency | None:
        """Of the labels; None where there are no two, and where some vectors have none: these are no class."""
        is_classed = all(self.labels) and len(set(self.labels)) > 1
        return consistency(self.vectors, self.labels) if is_classed else None

    def pictures(self, side_px: int) -> Iterator[tuple[str, Image.Image]]:
        """Of all there is to search in, one after the other; what can no longer be opened is passed over."""
        for name in self.names:
            with suppress(Refused):
                yield name, self.open(name, side_px)


def of_task(task: Task, encoder: ImageEncoder, *, progress: Progress | None = None) -> Problem:
    """A labelled folder, embedded without importing it. What cannot be read is noted, and counts as not found."""
    made = embed_files(task.views, encoder, progress=progress)
    database = [path for path in task.database if path in made.vectors]
    label_of = {query.path: query.label or "" for query in task.queries}
    asked = [query for query in task.queries if query.view in made.vectors]
    paths = {task.name_of(path): path for path in [*task.database, *(query.path for query in asked)]}
    return Problem(
        name=task.name,
        names=[task.name_of(path) for path in database],
        vectors=_stacked([made.vectors[path] for path in database], encoder.dimensions),
        labels=[label_of.get(path, "") for path in database],
        queries=[
            Query(task.name_of(query.path), made.vectors[query.view], partial(task.judged, query), query.label or "")
            for query in asked
        ],
        open=lambda name, side_px: open_view(paths[name], shorter_side_px=side_px),
        notes=[*task.notes, *_failures(made)],
    )


def _failures(made: Embedded) -> list[str]:
    return [f"{view} was left out: {refused.detail}" for view, refused in made.failures.items()]


def of_gallery(row: Encoder, labels: str) -> Problem:
    """Assets that bear one label, by their collection or their only tag, each a query for the others of its label."""
    label_of = _by_collection() if labels == "collection" else _by_tag()
    found = stored.of(list(label_of), row)
    ids = sorted(found)
    titles = dict(Asset.objects.filter(pk__in=ids).values_list("pk", "title"))
    names = {asset_id: f"{titles[asset_id]} (asset {asset_id})" for asset_id in ids}
    members: dict[str, set[str]] = {label: set() for label in label_of.values()}
    for asset_id in ids:
        members[label_of[asset_id]].add(names[asset_id])
    return Problem(
        name=f"gallery, by {labels}",
        names=[names[asset_id] for asset_id in ids],
        vectors=_stacked([found[asset_id] for asset_id in ids], row.dimensions),
        labels=[label_of[asset_id] for asset_id in ids],
        queries=[
            Query(
                names[asset_id], found[asset_id],
                partial(_others, members[label_of[asset_id]], names[asset_id]),
                label_of[asset_id],
            )
            for asset_id in ids
        ],
        open=partial(_open_asset, {name: asset_id for asset_id, name in names.items()}),
        notes=[*_left_out(len(label_of) - len(ids)), *_flattered(row)],
        asset_ids=ids,
    )  # fmt: skip


def _others(members: set[str], own: str) -> dict[str, Judged]:
    return {"leave-one-out": Judged(members - {own}, {own})}


def _open_asset(ids: Mapping[str, int], name: str, side_px: int) -> Image.Image:
    asset = Asset.objects.filter(pk=ids[name]).first()
    if asset is None:
        raise Refused(Code.NOT_FOUND, _("The asset was deleted meanwhile."))
    return open_picture(Picture(asset), side_px)


def _left_out(count: int) -> list[str]:
    return [f"{count} labelled assets have no embedding by this encoder and were left out."] if count else []


def _flattered(row: Encoder) -> list[str]:
    if not row.has_head:
        return []
    return [f"{row} was fitted to a part of the gallery: figures over all of it flatter. train_head tells others."]


def _by_collection() -> dict[int, str]:
    labelled = Asset.objects.kept().filter(collection__isnull=False)
    return {asset_id: f"{name}" for asset_id, name in labelled.values_list("pk", "collection__name")}


def _by_tag() -> dict[int, str]:
    """Of assets with one tag alone: of several, none is the label."""
    uses = Asset.tags.through.objects.filter(asset__trashed=None).values_list("asset_id", "tag__name")
    counts = Counter(asset_id for asset_id, _ in uses)
    return {asset_id: name for asset_id, name in uses if counts[asset_id] == 1}


def _stacked(made: Sequence[FloatArray], dimensions: int) -> FloatArray:
    return np.stack(made) if made else np.empty((0, dimensions), np.float32)
