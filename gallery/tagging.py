"""A tag that is renamed, merged into another or deleted on all assets that carry it, and how that is taken back.

Any number of assets takes the same number of statements, those in the trash included. They are locked before tags are,
as `changing` does it; what begins to carry one of these tags meanwhile waits.
"""

from itertools import chain
from typing import Any

from django.core import serializers
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from gallery import changing
from gallery.history import Act
from gallery.models import Asset, AssetQuerySet, Change, Tag, TagChange, is_among

_TAGS = Change.Kind.TAGS
_CARRY = """
    INSERT INTO gallery_asset_tags (asset_id, tag_id) SELECT asset_id, %s FROM unnest(%s::bigint[]) AS asset_id
    ON CONFLICT DO NOTHING RETURNING asset_id
"""


@transaction.atomic
def rename(tag_id: int, name: str, act: Act) -> None:
    """To a name that no other tag has."""
    for tag in _locked(tag_id):
        if tag.name != name:
            _note(tag, name, act)
            Tag.objects.filter(pk=tag_id).update(name=name)
            act.record_alike(_TAGS, _asset_ids(_uses(tag)), [tag.name], [name])


@transaction.atomic
def merge(tag_id: int, other_id: int, act: Act) -> None:
    """Assets with the tag carry the other afterwards, each once; what else names it names the other."""
    tags = {tag.pk: tag for tag in _locked(tag_id, other_id)}
    if {tag_id, other_id} <= tags.keys():  # else one is gone
        tag, other = tags[tag_id], tags[other_id]
        _note(tag, other.name, act)
        _exchange(_uses(tag), tag, other, act)
        for field, rows in _naming(tag):
            rows.update(**{field: other})
        tag.delete()


@transaction.atomic
def delete(tag_id: int, act: Act) -> None:
    """With whatever names it."""
    for tag in _locked(tag_id):
        _note(tag, "", act)
        act.record_alike(_TAGS, _asset_ids(_uses(tag)), [tag.name], [])
        tag.delete()


# --- taken back ---------------------------------------------------------------------------------------------


@transaction.atomic
def undo(done: TagChange, act: Act) -> None:
    """Once, and as far as nobody has done something else since.

    Assets get back what the act took from them. Those that got the other name meanwhile keep it.
    """
    if not TagChange.objects.filter(pk=done.pk, is_undone=False).update(is_undone=True):
        return
    replaced, taken = _of_theirs(done, act)
    [tag] = Tag.objects.named([done.before])
    replacing = _named(done.after)
    _locked_tags(tag.pk, *([replacing.pk] if replacing else []))
    if replacing == tag:  # it got no other name, only other letters
        Tag.objects.filter(pk=tag.pk).update(name=done.before)
        act.record_alike(_TAGS, _asset_ids(_uses(tag).filter(is_among(replaced, "asset"))), [tag.name], [done.before])
        return
    if replacing:
        _exchange(_uses(replacing).filter(is_among(replaced, "asset")), replacing, tag, act)
    act.record_alike(_TAGS, _carry(tag, taken), [], [tag.name])
    _name_again(done, tag, replacing)
    if replacing and replacing.pk == done.tag_id and not _is_in_use(replacing):
        replacing.delete()  # it was the tag, under its new name
    if not act.changed:
        transaction.set_rollback(True)  # nor is there a tag that nothing carries


def _named(name: str) -> Tag | None:
    return Tag.objects.filter(pk__in=Tag.objects.ids_named([name]).values()).first() if name else None


def _of_theirs(done: TagChange, act: Act) -> tuple[list[int], list[int]]:
    """Assets that got another tag for it, and those that it was taken from: those that are still the user's, locked.

    By their ids: Postgres knows nothing of changes that were recorded just now, and joins them the slowest way.
    """
    afters = dict(Change.objects.filter(act=done.act).order_by().values_list("asset_id", "after"))
    theirs = _locked_ids(Asset.objects.editable_by(act.user).among(afters))
    return [pk for pk in theirs if afters[pk]], [pk for pk in theirs if not afters[pk]]


def _carry(tag: Tag, asset_ids: list[int]) -> list[int]:
    """Those that did not carry it yet."""
    with connection.cursor() as cursor:
        cursor.execute(_CARRY, [tag.pk, asset_ids])
        return [asset_id for [asset_id] in cursor.fetchall()]


def _name_again(done: TagChange, tag: Tag, replacing: Tag | None) -> None:
    """What named the tag names it again, unless it names another by now."""
    rows = [told.object for told in serializers.deserialize("python", done.named_by, ignorenonexistent=True)]
    for field, naming in _naming(replacing) if replacing else []:
        naming.filter(pk__in=[row.pk for row in rows if isinstance(row, naming.model)]).update(**{field: tag})
    for row in rows if not done.after else []:
        for field, naming in _naming(tag):
            if isinstance(row, naming.model):
                setattr(row, field, tag)
        row.save_base(raw=True)  # as it was, and not as if it were new


# --- what refers to a tag -----------------------------------------------------------------------------------


def _uses(tag: Tag) -> QuerySet[Any]:
    uses: QuerySet[Any] = Asset.tags.through.objects.filter(tag=tag)
    return uses


def _asset_ids(uses: QuerySet[Any]) -> list[int]:
    return list(uses.values_list("asset_id", flat=True))


def _exchange(uses: QuerySet[Any], tag: Tag, other: Tag, act: Act) -> None:
    """Uses of the tag become uses of the other, one on each asset."""
    has_other = Exists(_uses(other).filter(asset=OuterRef("asset")))
    replaced, taken = _asset_ids(uses.filter(~has_other)), _asset_ids(uses.filter(has_other))
    uses.filter(has_other).delete()
    uses.update(tag=other)
    act.record_alike(_TAGS, replaced, [tag.name], [other.name])
    act.record_alike(_TAGS, taken, [tag.name], [])


def _naming(tag: Tag) -> list[tuple[str, QuerySet[Any]]]:
    """Rows of other apps that name the tag, and in which field: rules of searches, say."""
    related = [relation for relation in Tag._meta.related_objects if relation.one_to_many]  # noqa: SLF001 (Django's way)
    named = [(relation.field.name, relation.related_model) for relation in related]
    return [(field, QuerySet(model).filter(**{field: tag})) for field, model in named]


def _is_in_use(tag: Tag) -> bool:
    return _uses(tag).exists() or any(rows.exists() for _, rows in _naming(tag))


def _note(tag: Tag, after: str, act: Act) -> None:
    named_by = serializers.serialize("python", chain(*(rows for _, rows in _naming(tag))))
    TagChange.objects.create(act=act.id, user=act.user, tag_id=tag.pk, before=tag.name, after=after, named_by=named_by)


def _locked(tag_id: int, *others: int) -> list[Tag]:
    """Those that are there, as they are now."""
    _locked_ids(Asset.objects.filter(pk__in=Asset.tags.through.objects.filter(tag=tag_id).values("asset")))
    return _locked_tags(tag_id, *others)


def _locked_ids(assets: AssetQuerySet) -> list[int]:
    return list(changing.locked(assets).values_list("pk", flat=True))


def _locked_tags(*tag_ids: int) -> list[Tag]:
    return list(Tag.objects.select_for_update().filter(pk__in=tag_ids).order_by("pk"))
