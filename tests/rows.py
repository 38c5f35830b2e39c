"""A row of each model that the admin has, where none came about by itself, and a second way to search."""

import uuid
from datetime import timedelta

import numpy as np
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.utils import timezone
from django_q.models import Schedule, Task
from django_q.tasks import async_task
from rest_framework.authtoken.models import Token

from gallery.models import Asset, Change, Tag
from search import vectors
from search.models import Embedding, Encoder, Evaluation, IndexBuild, Measurement, Preference, Rule

#: By the label of its model, the key of a row; of the newest, where there are several.
Rows = dict[str, str | None]


def make(user: User, tag: str, *, classes: int = 2, measurements: int = 2) -> Rows:
    """What was changed, by whom and when, goes by `user`; `tag` is one that there is."""
    Group.objects.bulk_create(Group(name=f"{tag} {place}") for place in range(2))
    now = timezone.now()
    told = {"name": tag, "func": tag, "started": now, "stopped": now, "result": tag}
    Task.objects.bulk_create(Task(id=uuid.uuid4().hex, success=success, **told) for success in (False, True))
    Schedule.objects.create(name=tag, func=tag, next_run=now + timedelta(days=1))
    async_task(tag, cluster=tag)
    Token.objects.get_or_create(user=user)
    asset = Asset.objects.latest("pk")
    Change.objects.create(asset=asset, user=user, act=uuid.uuid4(), kind="title", before="a", after="b")
    Rule.objects.create(action=Rule.Action.PIN, tag=Tag.objects.get(name=tag), is_enabled=False)
    _make_measurements(tag, measurements)
    _make_evaluations(tag, classes)
    Preference.objects.create(user=user, query_sha256=64 * "a", first=f"{tag} 1", second=f"{tag} 2", is_blind=True)
    rows = {model._meta.label: model._default_manager.order_by("-pk").first() for model in admin.site._registry}
    for row in filter(None, rows.values()):
        LogEntry.objects.log_actions(user.pk, [row], CHANGE, [], single_object=True)
    return {label: row and str(row.pk) for label, row in rows.items()}


def _make_measurements(name: str, count: int) -> None:
    encoder = Encoder.objects.create(name=name, revision=name, dimensions=2, preprocessing=1, error="It broke.")
    build = IndexBuild.objects.create(
        encoder=encoder, kind="ivfflat", rows=9, state="replaced", recall=0.9, finished=timezone.now()
    )
    for purpose in Measurement.Purpose:
        Measurement.objects.bulk_create(
            Measurement(
                encoder=encoder, build=build, purpose=purpose, rows=9, kind="ivfflat", parameters={"probes": 2},
                recall=0.9, recall_recent=0.8, p50_ms=1.5,
            )
            for _ in range(count)
        )  # fmt: skip


def _make_evaluations(name: str, classes: int) -> None:
    told = {"precision@1": 0.5, "map@10": 0.4}
    for metric in ("cosine", "l2"):
        Evaluation.objects.create(
            problem=name, encoder=name, revision=name, metric=metric, index="exact", protocol=name, queries=9,
            database=9, metrics=told, intervals={}, classes={f"class {place}": told for place in range(classes)},
        )  # fmt: skip


def second_encoder(name: str) -> Encoder:
    """One that searches stored assets beside the one that serves: by every second number of its vectors."""
    dimensions = Encoder.objects.active().dimensions // 2
    row = Encoder.objects.create(name=name, revision="1", dimensions=dimensions, preprocessing=1)
    serving = Embedding.objects.embedded().filter(encoder__is_active=True)
    halves = vectors.unit(np.array([one.vector[::2] for one in serving], np.float32))
    Embedding.objects.bulk_create(
        Embedding(encoder=row, asset_id=one.asset_id, claimed_until=one.claimed_until, vector=half)
        for one, half in zip(serving, halves, strict=True)
    )
    return row
