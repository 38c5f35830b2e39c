import io
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from threading import Barrier, Condition
from types import SimpleNamespace

import numpy as np
import pytest
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.models import OrmQ
from PIL import Image

from gallery.models import Asset
from gallery.uploads import store_upload
from search import encoders, index, pictures, pipeline, query, switching, tasks
from search.encoders import EncoderSpec, EncoderUnavailable, registry
from search.index import BuildFailed
from search.models import Calibration, Code, Embedding, Encoder, IndexBuild, Projection, RecentQuery
from search.pictures import Picture
from search.query import Part, Wanted
from search.switching import CannotSwitch, State
from tests.conftest import encoded
from tests.search.vectors import distances, filled_with, random_vectors


class Mixed:
    """An encoder of any length: a picture's mean colour through a matrix of its own, so that no two rank alike."""

    dtype, decode_side_px, batch_size = "bfloat16", 8, 1

    def __init__(self, dimensions):
        self.dimensions, self.encoded = dimensions, []
        self._matrix = np.random.default_rng(dimensions).normal(size=(4, dimensions))

    def prepare(self, image):
        return np.asarray(image).reshape(-1, 3).mean(axis=0).astype(np.uint8)

    def encode(self, prepared):
        self.encoded.extend(prepared)
        long = np.concatenate([prepared.astype(np.float32) - 127, np.full((len(prepared), 1), 64)], axis=1)
        made = long @ self._matrix
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def mixed(monkeypatch):
    """mixed(dimensions): an encoder in the registry, as "mixed-<dimensions>", and its row."""

    def make(dimensions):
        made = Mixed(dimensions)
        spec = EncoderSpec(f"mixed-{dimensions}", "1", dimensions, 1, lambda _: made)
        monkeypatch.setitem(encoders.SPECS, spec.name, spec)
        return made, Encoder.objects.for_spec(spec)

    registry.forget()
    yield make
    registry.forget()


@pytest.fixture(autouse=True)
def _without_grace(monkeypatch):
    monkeypatch.setattr(switching, "_GRACE", timedelta(0))
    monkeypatch.setattr(index, "_GRACE_S", 0)


@pytest.fixture
def next_one(colour_encoder, mixed):
    """An encoder that is filled beside mean-colour, which serves."""
    made, row = mixed(8)
    switching.fill(row)
    row.refresh_from_db()
    return made, row


@pytest.fixture
def slow(monkeypatch):
    """slow(encoder): each of its pictures takes a second, by a clock that nothing else moves."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(pipeline, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def slow_down(made):
        encode = made.encode

        def tick(prepared):
            clock.now += len(prepared)
            return encode(prepared)

        monkeypatch.setattr(made, "encode", tick)

    return slow_down


def embedded(row):
    return Embedding.objects.embedded().filter(encoder=row).count()


def run_queued():
    """Work at what is queued until nothing is, as workers do; the names of the tasks, in order."""
    ran = []
    while waiting := OrmQ.objects.order_by("pk").first():
        task = waiting.task
        waiting.delete()
        import_string(task["func"])(*task["args"])
        ran.append(task["func"].rpartition(".")[2])
    return ran


def vector_indexes():
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE indexdef ~ 'USING (ivfflat|hnsw)' ORDER BY 1")
        return [name for (name,) in cursor.fetchall()]


@pytest.fixture
def _without_leftovers():
    """The database is emptied after a test with transactions; indexes would stay."""
    yield
    with connection.cursor() as cursor:
        for name in vector_indexes():
            cursor.execute(f"DROP INDEX {name}")


def said(command, *args, **options):
    out = io.StringIO()
    call_command(command, *args, stdout=out, stderr=out, **options)
    return out.getvalue()


# --- under load ---------------------------------------------------------------------------------------------------


def some_picture():
    return Picture(ContentFile(encoded(Image.new("RGB", (32, 32), (200, 90, 30)), "PNG"), "some.png"))


class Searchers:
    """Threads that search with one picture again and again, and what they got."""

    def __init__(self, count=3):
        self.answers, self.errors, self._more, self._stopped = [], [], Condition(), False
        self._pool = ThreadPoolExecutor(count)
        self._futures = [self._pool.submit(self._search) for _ in range(count)]

    def _search(self):
        while not self._stopped:
            try:
                [answer] = query.like_each([Part(some_picture())], Wanted(k=10))
            except Exception as error:
                self.errors.append(error)
                self._stopped = True
            with self._more:
                if not self._stopped:
                    self.answers.append(answer)
                self._more.notify_all()
        connection.close()

    def await_answers_by(self, name, count=5):
        """Until so many more came by the encoder."""

        def by_it():
            return sum(answer.encoder == name for answer in self.answers)

        with self._more:
            wanted = by_it() + count
            assert self._more.wait_for(lambda: by_it() >= wanted or self.errors, 60)

    def stop(self):
        self._stopped = True
        for future in self._futures:
            future.result(60)
        self._pool.shutdown()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_without_leftovers")
def test_switching_to_and_fro_under_queries_fails_none_and_mixes_none(mixed, user, settings):
    settings.INDEX_MIN_ROWS = 5000
    rows = one, two = mixed(16)[1], mixed(24)[1]
    assets, stored = [], {}
    for row in rows:
        vectors = random_vectors(1000, row.dimensions, elsewhere=row.dimensions)
        if assets:
            pipeline.claim([asset.pk for asset in assets], row)
            pipeline.store(row, {asset.pk: vector for asset, vector in zip(assets, vectors, strict=True)})
        else:
            assets = filled_with(vectors, row, user)
        [[sought]] = pictures.encode([some_picture()], row)
        truth = distances("cosine", vectors, sought)
        stored[row.name] = dict(zip([asset.pk for asset in assets], truth, strict=True))
    two_built = index.build(two)  # one is searched through an index, the other without
    switching.activate(one)
    searchers = Searchers()
    try:
        for row in [one, two] * 3 + [one]:
            switching.activate(row)
            searchers.await_answers_by(row.name)
    finally:
        searchers.stop()
    assert searchers.errors == []
    assert {answer.encoder for answer in searchers.answers} == {"mixed-16", "mixed-24"}
    for answer in searchers.answers:
        truth = stored[answer.encoder]
        assert len(answer.results) == 10
        assert [hit.distance for hit in answer.results] == pytest.approx(
            [truth[hit.asset.pk] for hit in answer.results], abs=1e-3
        )
        near = set(sorted(truth, key=truth.get)[:10])
        assert len(near & {hit.asset.pk for hit in answer.results}) >= (10 if answer.search.exact else 5)
        assert answer.search.index == (two_built.kind if answer.encoder == two.name else None)


@pytest.mark.django_db(transaction=True)
def test_two_who_switch_at_once_leave_one_that_serves(mixed):
    rows = [mixed(dimensions)[1] for dimensions in (5, 6, 7)]
    rows[0].activate()
    at_once = Barrier(2)

    def activate(row):
        try:
            for _ in range(10):
                at_once.wait(30)
                row.activate()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(activate, rows[1:]))
    assert Encoder.objects.filter(is_active=True).count() == 1


def test_activating_touches_no_asset_of_which_nothing_else_is_said(next_one, flat):
    changed, same = flat(9, 9, 9), flat(200, 0, 0)
    call_command("embed")
    Encoder.objects.active().embeddings.filter(asset=changed).delete()
    Asset.objects.filter(pk=changed.pk).update(status="pending")
    call_command("embed", encoder="mixed-8")

    def places():
        with connection.cursor() as cursor:
            cursor.execute("SELECT id, ctid::text FROM gallery_asset")
            return dict(cursor.fetchall())

    Asset.objects.filter(pk=changed.pk).update(status="pending")  # whatever it said before
    before = places()
    next_one[1].activate()
    assert places()[same.pk] == before[same.pk]
    assert places()[changed.pk] != before[changed.pk]
    assert set(Asset.objects.values_list("status", flat=True)) == {"ready"}


# --- fill, pause, go on -------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_upload_while_another_encoder_fills_gets_both_first_the_serving_one(next_one, colour_encoder, user, picture):
    _, row = next_one
    store_upload(picture(1), user)
    [first] = OrmQ.objects.all()
    assert first.func() == "search.tasks.embed_asset"
    first.delete()
    tasks.embed_asset(*first.args())
    assert (embedded(colour_encoder), embedded(row)) == (1, 0)
    assert run_queued() == ["embed_pending", "embed_pending"]  # the second finds nothing to do
    assert (embedded(colour_encoder), embedded(row)) == (1, 1)


def test_what_searches_wait_for_comes_before_an_encoder_that_fills(next_one, colour_encoder, flat):
    _, row = next_one
    flat(200, 0, 0), flat(0, 200, 0)
    tasks.embed_pending()
    assert (embedded(colour_encoder), embedded(row)) == (2, 0)
    tasks.embed_pending()
    assert embedded(row) == 2


def test_uploads_come_between_the_slices_of_an_encoder_that_fills(next_one, colour_encoder, flat, slow):
    made, row = next_one
    slow(made)
    for red in range(12):
        flat(10 * red, 99, 0)
    tasks.embed_pending()
    tasks.embed_pending()
    assert 0 < embedded(row) < 12
    flat(0, 0, 200)
    before = embedded(row)
    tasks.embed_pending()
    assert (embedded(colour_encoder), embedded(row)) == (13, before)
    run_queued()
    assert embedded(row) == 13


def test_slice_goes_on_where_the_last_ended_and_the_fill_returns_to_what_is_left_behind(next_one, flat, slow):
    made, row = next_one
    slow(made)
    assets = [flat(10 * red, 99, 0) for red in range(16)]
    lost, again = assets[0], assets[1]
    tasks.embed_pending()
    tasks.embed_pending()
    before = embedded(row)
    assert 2 < before < 10
    pipeline.retry([lost.pk, again.pk], row)
    pipeline.claim([lost.pk], row)
    Embedding.objects.filter(vector=None).update(claimed_until=timezone.now() - timedelta(hours=1))
    tasks.embed_pending()
    assert embedded(row) > before - 2
    assert not row.embeddings.embedded().filter(asset__in=[lost, again]).exists()
    flat(0, 0, 200)
    run_queued()
    tasks.sweep()
    assert embedded(row) == 17
    assert len(made.encoded) == 17 + 2


def test_paused_encoder_is_left_alone_within_a_slice_and_goes_on_where_it_stopped(next_one, flat, slow):
    made, row = next_one
    slow(made)
    for red in range(12):
        flat(10 * red, 99, 0)
    tasks.embed_pending()
    tasks.embed_pending()
    done = embedded(row)
    assert 0 < done < 12
    switching.pause(row)
    run_queued()
    tasks.sweep()
    assert embedded(row) == done
    switching.fill(row)
    tasks.sweep()
    run_queued()
    assert embedded(row) == 12
    assert len(made.encoded) == 12


def test_killed_run_leaves_nothing_claimed_for_ever(next_one, flat, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(_):
        raise Killed

    made, row = next_one
    for red in range(5):
        flat(40 * red, 99, 0)
    tasks.embed_pending()
    with monkeypatch.context() as patched, suppress(Killed):
        patched.setattr(made, "encode", kill)
        tasks.embed_pending()
    assert Embedding.objects.filter(encoder=row, vector=None).exists()
    Embedding.objects.filter(vector=None).update(claimed_until=timezone.now() - timedelta(seconds=1))
    tasks.sweep()
    assert embedded(row) == 5


def test_interrupted_command_lets_go_of_what_it_had_claimed(next_one, flat, monkeypatch):
    _, row = next_one
    for red in range(6):
        flat(40 * red, 99, 0)
    store = pipeline.store

    def interrupted(by, made):
        if by == row:
            raise KeyboardInterrupt
        return store(by, made)

    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "store", interrupted)
        with pytest.raises(SystemExit) as ended:
            call_command("embed", encoder=row.name)
    assert ended.value.code == 130
    assert not Embedding.objects.filter(encoder=row).exists()
    call_command("embed", encoder=row.name)
    assert embedded(row) == 6


def test_encoder_in_trouble_says_why_and_hinders_no_other(next_one, colour_encoder, flat, monkeypatch):
    _, row = next_one
    third = Encoder.objects.for_spec(encoders.spec("descriptor"))
    switching.fill(third)
    load = Encoder.load

    def fail(self):
        if self == row:
            raise errors.pop()
        return load(self)

    errors = [MemoryError("no room"), EncoderUnavailable("No weights.", "Fetch them.")]
    flat(200, 0, 0)
    with monkeypatch.context() as patched:
        patched.setattr(Encoder, "load", fail)
        tasks.sweep()
        tasks.embed_pending()
        row.refresh_from_db()
        assert row.error == "No weights. Fetch them."
        assert (embedded(colour_encoder), embedded(third), embedded(row)) == (1, 1, 0)
        tasks.embed_pending()
        row.refresh_from_db()
        assert row.error == "no room"
    assert "no room" in said("encoders")
    tasks.sweep()
    row.refresh_from_db()
    assert (row.error, embedded(row)) == ("", 1)


def test_sweep_builds_the_index_of_an_encoder_that_is_complete_and_of_no_other(next_one, flat, settings, monkeypatch):
    settings.INDEX_MIN_ROWS = 2
    _, row = next_one
    built = []
    monkeypatch.setattr(index, "build", built.append)
    flat(200, 0, 0), flat(0, 200, 0)
    tasks.embed_pending()
    tasks.sweep()
    assert switching.standing(row).state == State.UNINDEXED
    assert row in built
    built.clear()
    pending = flat(0, 0, 200)
    tasks.embed_asset(pending.pk)
    tasks._make_ready(row)
    assert built == []


def test_encoder_that_was_replaced_gets_what_is_uploaded_until_it_is_paused(next_one, colour_encoder, flat):
    _, row = next_one
    flat(200, 0, 0)
    call_command("embed", encoder=row.name)
    said("activate", row.name)
    tasks.embed_asset(flat(0, 200, 0).pk)
    run_queued()
    assert (embedded(row), embedded(colour_encoder)) == (2, 2)
    assert "mean-colour serves searches now" in said("activate", "mean-colour")
    assert set(Asset.objects.values_list("status", flat=True)) == {"ready"}
    switching.pause(row)
    tasks.embed_asset(flat(0, 0, 200).pk)
    run_queued()
    assert (embedded(row), embedded(colour_encoder)) == (2, 3)


def test_speed_and_arithmetic_are_noted(next_one, mean_colour, flat, monkeypatch, slow):
    made, row = next_one
    slow(made)
    slow(mean_colour)
    monkeypatch.setattr(pipeline, "_RATED_LEAST", 2)
    for red in range(3):
        flat(40 * red, 99, 0)
    call_command("embed", encoder=row.name)
    row.refresh_from_db()
    assert (row.dtype, row.images_per_s) == ("bfloat16", pytest.approx(1))
    assert Encoder.objects.active().dtype == "float32"


def test_sweep_finds_what_the_status_of_an_asset_does_not_tell(colour_encoder, flat):
    asset = flat(200, 0, 0)
    Asset.objects.filter(pk=asset.pk).update(status="ready")
    tasks.embed_pending()
    assert embedded(colour_encoder) == 0
    tasks.sweep()
    assert embedded(colour_encoder) == 1


# --- let serve ----------------------------------------------------------------------------------------------------


def refusal(command, *args, **options):
    with pytest.raises(CommandError) as refused:
        call_command(command, *args, **options)
    return str(refused.value)


def test_encoder_that_lacks_embeddings_is_not_activated(next_one, colour_encoder, flat):
    flat(200, 0, 0), flat(0, 200, 0)
    assert "Assets without an embedding by it: 2." in refusal("activate", "mixed-8")
    assert Encoder.objects.active() == colour_encoder


def test_encoder_that_cannot_be_loaded_is_not_activated(next_one, colour_encoder, monkeypatch):
    def fail(spec):
        raise EncoderUnavailable("No weights.", "Fetch them.")

    monkeypatch.setitem(encoders.SPECS, "mixed-8", EncoderSpec("mixed-8", "1", 8, 1, fail))
    assert "No weights. Fetch them." in refusal("activate", "mixed-8")
    assert Encoder.objects.active() == colour_encoder


def test_encoder_without_the_index_it_needs_is_not_activated(next_one, colour_encoder, flat, settings, monkeypatch):
    settings.INDEX_MIN_ROWS = 1
    _, row = next_one
    flat(200, 0, 0)
    pipeline.embed_pending(row)
    assert "activate --build-index mixed-8" in refusal("activate", "mixed-8")
    assert Encoder.objects.active() == colour_encoder

    def fail(row):
        IndexBuild.objects.create(
            encoder=row, kind="ivfflat", rows=1, state="failed", error="x", finished=timezone.now()
        )
        raise BuildFailed("The index was not built.")

    monkeypatch.setattr(index, "build", fail)
    assert "manage.py activate mixed-8" in refusal("activate", "mixed-8", build_index=True)
    assert "compare every vector until" in said("activate", "mixed-8")  # an index that cannot be had is not needed
    assert Encoder.objects.active() == row


def test_activating_what_serves_or_what_is_not_there_changes_nothing(colour_encoder):
    assert "serves searches already" in said("activate", "mean-colour")
    assert "manage.py encoders" in refusal("activate", "nothing")
    assert Encoder.objects.active() == colour_encoder


def test_of_two_versions_one_is_named_by_its_number(colour_encoder):
    older = Encoder.objects.create(name="mean-colour", revision="0" * 40, dimensions=4, preprocessing=1)
    assert f"{older.pk} (revision 000000000000)" in refusal("retire", "mean-colour", interactive=False)
    said("retire", str(older.pk), interactive=False)
    assert list(Encoder.objects.all()) == [colour_encoder]


def test_new_version_of_an_encoder_takes_over_from_the_old(colour_encoder, mean_colour, flat, monkeypatch):
    flat(200, 0, 0)
    call_command("embed")
    monkeypatch.setitem(encoders.SPECS, "mean-colour", EncoderSpec("mean-colour", "2", 4, 1, lambda _: mean_colour))
    told = said("embed", encoder="mean-colour")
    newer = Encoder.objects.get(revision="2")
    assert f"manage.py activate {newer.pk}\n" in told
    assert f"manage.py retire {colour_encoder.pk}\n" in said("activate", str(newer.pk))
    assert Encoder.objects.active() == newer
    assert embedded(newer) == 1
    tasks.embed_asset(flat(0, 200, 0).pk)
    run_queued()
    colour_encoder.refresh_from_db()
    assert "another version" in colour_encoder.error  # and the one that serves goes on
    assert embedded(newer) == 2


# --- retire -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_without_leftovers")
def test_retiring_frees_all_and_nothing_else(colour_encoder, mixed, user):
    _, row = mixed(64)
    assets = filled_with(random_vectors(1000, 64), row, user)
    pipeline.claim([asset.pk for asset in assets], colour_encoder)
    pipeline.store(
        colour_encoder,
        {asset.pk: vector for asset, vector in zip(assets, random_vectors(1000, 4), strict=True)},
    )
    built = index.build(row)
    Projection.objects.create(build=built, data=b"")  # as of a kind that has codes, which take longer to build
    Code.objects.create(build=built, asset=assets[0], part=0, vector=random_vectors(1, 64)[0])
    RecentQuery.objects.create(encoder=row, vector=random_vectors(1, 64)[0])
    Calibration.objects.create(encoder=row, metric="cosine", rows=1, distances=[])
    assert vector_indexes()
    assert built.measurements.exists()
    told = said("retire", "mixed-64", interactive=False)
    assert "mixed-64 is retired" in told
    assert vector_indexes() == []
    assert list(Encoder.objects.all()) == [colour_encoder]
    assert not Code.objects.exists()
    assert (Embedding.objects.count(), embedded(colour_encoder)) == (1000, 1000)


def test_encoder_that_serves_is_not_retired(colour_encoder, flat):
    flat(200, 0, 0)
    call_command("embed")
    assert "serves searches" in refusal("retire", "mean-colour", interactive=False)
    with pytest.raises(CannotSwitch):
        switching.retire(colour_encoder)
    assert embedded(colour_encoder) == 1


def test_retiring_asks_first_and_names_what_goes(next_one, flat, monkeypatch):
    flat(200, 0, 0)
    call_command("embed", encoder="mixed-8")
    monkeypatch.setattr("builtins.input", lambda _: "y")
    out = io.StringIO()
    with pytest.raises(CommandError, match="Nothing was deleted"):
        call_command("retire", "mixed-8", stdout=out)
    assert "deletes 1 embeddings by mixed-8, about 216" in out.getvalue()
    assert embedded(next_one[1]) == 1
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    call_command("retire", "mixed-8", stdout=out)
    assert not Encoder.objects.filter(name="mixed-8").exists()


def test_interrupted_retirement_is_finished_by_the_workers_and_nothing_comes_between(next_one, flat, monkeypatch):
    monkeypatch.setattr(switching, "_DELETED_AT_ONCE", 2)
    _, row = next_one
    for red in range(5):
        flat(40 * red, 99, 0)
    call_command("embed")
    call_command("embed", encoder="mixed-8")

    def interrupt(deleted):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        switching.retire(row, progress=interrupt)
    row.refresh_from_db()
    assert Embedding.objects.filter(encoder=row).count() == 3
    assert switching.standing(row).state == State.RETIRING
    assert "being retired" in refusal("activate", "mixed-8")
    assert "being retired" in refusal("embed", encoder="mixed-8")
    assert "being retired" in refusal("embed", encoder="mixed-8", pause=True)
    with pytest.raises(Encoder.DoesNotExist):
        row.activate()
    assert pipeline.claim(list(Asset.objects.values_list("pk", flat=True)), row) == []
    assert Embedding.objects.filter(encoder=row).count() == 3
    monkeypatch.setattr(tasks, "_DRAIN_SECONDS", 0)
    OrmQ.objects.all().delete()
    tasks.sweep()
    assert run_queued() == ["retire"] * 3
    assert not Encoder.objects.filter(pk=row.pk).exists()
    assert Embedding.objects.count() == 5


def test_vector_that_comes_after_its_encoder_is_retired_is_dropped(next_one, flat):
    _, row = next_one
    asset = flat(200, 0, 0)
    pipeline.claim([asset.pk], row)
    switching.retire(row)
    assert pipeline.store(row, {asset.pk: random_vectors(1, 8)[0]}) == 0
    assert pipeline.fail(row, {asset.pk: "too late"}) == 0
    assert pipeline.claim([asset.pk], row) == []


def test_retiring_waits_for_searches_that_began_by_the_encoder(next_one, monkeypatch):
    slept = []
    monkeypatch.setattr(switching, "_GRACE", timedelta(seconds=100))
    monkeypatch.setattr(switching, "time", SimpleNamespace(sleep=slept.append, monotonic=lambda: 0.0))
    switching.retire(next_one[1])
    assert 90 < slept[0] <= 100


def test_retirement_waits_for_an_index_that_is_being_built(next_one, flat, monkeypatch):
    def fail(row, kind):
        raise BuildFailed("Another index is being built just now.")

    flat(200, 0, 0)
    call_command("embed", encoder="mixed-8")
    with monkeypatch.context() as patched:
        patched.setattr(index, "build", fail)
        assert "Another index" in refusal("retire", "mixed-8", interactive=False)
        tasks.retire()
    assert embedded(next_one[1]) == 1
    tasks.retire()
    assert not Encoder.objects.filter(name="mixed-8").exists()


# --- commands -----------------------------------------------------------------------------------------------------


def test_workers_are_set_to_work_and_stopped_by_command(colour_encoder, mixed, flat):
    _, row = mixed(8)
    flat(200, 0, 0)
    assert "manage.py encoders" in said("embed", encoder="mixed-8", background=True)
    assert embedded(row) == 0
    assert "--background" in said("embed", encoder="mixed-8", pause=True)
    run_queued()
    assert (embedded(colour_encoder), embedded(row)) == (1, 0)
    said("embed", encoder="mixed-8", background=True)
    run_queued()
    assert embedded(row) == 1


def test_what_serves_is_paused_and_goes_on_where_it_stopped(colour_encoder, user, picture, flat):
    flat(200, 0, 0)
    assert "mean-colour" in said("embed", pause=True)
    tasks.embed_asset(store_upload(picture(1), user).asset.pk)
    colour_encoder.activate()  # as a second click does
    tasks.sweep()
    assert embedded(colour_encoder) == 0
    assert not switching.standing(colour_encoder).is_moving
    said("embed", background=True)
    run_queued()
    assert embedded(colour_encoder) == 2


def test_command_embeds_what_searches_wait_for_first(next_one, colour_encoder, flat, monkeypatch):
    flat(200, 0, 0)
    order, store = [], pipeline.store

    def noted(row, made):
        order.append(row.name)
        return store(row, made)

    monkeypatch.setattr(pipeline, "store", noted)
    said("embed", encoder="mixed-8")
    assert order == ["mean-colour", "mixed-8"]


def test_serving_encoder_that_is_lost_does_not_keep_another_out(next_one, colour_encoder, flat, monkeypatch):
    def fail(spec):
        raise EncoderUnavailable("No weights.", "Fetch them.")

    registry.forget()
    monkeypatch.setitem(encoders.SPECS, "mean-colour", EncoderSpec("mean-colour", "1", 4, 1, fail))
    flat(200, 0, 0)
    assert "mixed-8 is ready" in said("embed", encoder="mixed-8")
    said("activate", "mixed-8")
    assert Asset.objects.get().status == "ready"


def test_encoders_are_listed_with_how_far_they_are(next_one, colour_encoder, flat, monkeypatch):
    _, row = next_one
    for colour in ((13, 13, 13), (200, 0, 0), (0, 200, 0)):
        flat(*colour)
    call_command("embed")
    pipeline.embed(list(Asset.objects.values_list("pk", flat=True)[:1]), row)
    Encoder.objects.filter(pk=row.pk).update(images_per_s=0.5)
    told = {one["name"]: one for one in json.loads(said("encoders", json=True))}
    assert {"state": "serving", "embedded": 2, "failed": 1, "pending": 0}.items() <= told["mean-colour"].items()
    filling = {"state": "embedding", "percent": 33, "embedded": 1, "failed": 0, "pending": 2, "size_bytes": 216}
    assert filling.items() <= told["mixed-8"].items()
    assert (told["mixed-8"]["images_per_s"], told["mixed-8"]["seconds_left"]) == (0.5, 4)
    assert told["dinov2-base"]["state"] == "available"
    lines = {line.split()[1]: line for line in said("encoders").splitlines()}
    assert "Serving" in lines["mean-colour"]
    assert "Embedding 33 %" in lines["mixed-8"]
    assert "Available" in lines["dinov2-base"]
    switching.pause(row)
    assert "Paused 33 %" in said("encoders")
    switching.fill(row)
    run_queued()
    tasks.embed_pending()
    assert "Ready" in said("encoders")
