"""Takes back what somebody did, as far as nobody has done something else since."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction

from gallery import arranging, changing, tagging, trash
from gallery.history import Act
from gallery.models import Asset, AssetQuerySet, Change, Collection, TagChange


@transaction.atomic
def undo(act_id: UUID, user: User) -> Act:
    """Of the user's own. What comes of it is an act, too, and is told like any other."""
    act = Act(user)
    if done := TagChange.objects.filter(act=act_id, user=user).first():
        tagging.undo(done, act)
        return act
    own = Change.objects.filter(act=act_id, user=user)
    for kind, changes in _grouped(own, lambda change: change.kind).items():
        _UNDO[Change.Kind(kind)](changes, act)
    return act


def _undo_titles(changes: list[Change], act: Act) -> None:
    for (before, after), some in _grouped(changes, lambda change: (change.before, change.after)).items():
        changing.retitle(_theirs(some, act).filter(title=after), before, act)


def _undo_moves(changes: list[Change], act: Act) -> None:
    for (before, after), some in _grouped(changes, lambda one: (_id(one.before), _id(one.after))).items():
        back_in = Collection.objects.filter(pk=before).first() if before else None
        changing.move(_theirs(some, act).filter(collection=after), back_in, act)


def _undo_owners(changes: list[Change], act: Act) -> None:
    for (before, after), some in _grouped(changes, lambda one: (_id(one.before), _id(one.after))).items():
        if former := User.objects.filter(pk=before).first():
            changing.hand_over(_theirs(some, act).filter(owner=after), former, act)


def _undo_tags(changes: list[Change], act: Act) -> None:
    """Most were changed in one and the same way."""
    for (before, after), some in _grouped(
        changes, lambda one: (tuple(one.before or ()), tuple(one.after or ()))
    ).items():
        changing.retag(_theirs(some, act), act, add=before, remove=after)


def _undo_places(changes: list[Change], act: Act) -> None:
    """Who arranges a collection need not own what lies in it."""
    for change in changes:
        after: dict[str, Any] = change.after or {}  # by undoing a move it may have got none
        arranged = Collection.objects.filter(pk=after.get("collection", 0)).first()
        if arranged and arranged.may_be_edited_by(act.user):
            arranging.put_back(arranged.assets.filter(pk=change.asset_id), change.before, after, act)


def _undo_deletion(changes: list[Change], act: Act) -> None:
    trash.restore(Asset.objects.in_trash_of(act.user).among(_asset_ids(changes)), act)


def _undo_restoring(changes: list[Change], act: Act) -> None:
    trash.move_to_trash(_theirs(changes, act), act)


_UNDO: dict[Change.Kind, Callable[[list[Change], Act], None]] = {
    Change.Kind.TITLE: _undo_titles,
    Change.Kind.COLLECTION: _undo_moves,
    Change.Kind.OWNER: _undo_owners,
    Change.Kind.TAGS: _undo_tags,
    Change.Kind.PLACE: _undo_places,
    Change.Kind.TRASHED: _undo_deletion,
    Change.Kind.RESTORED: _undo_restoring,
}


def _theirs(changes: list[Change], act: Act) -> AssetQuerySet:
    return Asset.objects.visible_to(act.user).editable_by(act.user).among(_asset_ids(changes))


def _asset_ids(changes: list[Change]) -> list[int]:
    return [change.asset_id for change in changes]


def _id(told: dict[str, Any] | None) -> int | None:
    return told["id"] if told else None


def _grouped(changes: Iterable[Change], key: Callable[[Change], Hashable]) -> dict[Any, list[Change]]:
    groups: dict[Any, list[Change]] = {}
    for change in changes:
        groups.setdefault(key(change), []).append(change)
    return groups
