"""Work in progress: the page, the badge of every page, and what can be done there."""

import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ

from gallery.import_models import Import, Refusal
from gallery.templatetags.display import roughly
from search import index, tasks, work
from search.index import BuildFailed
from search.models import Embedding, Encoder, IndexBuild
from tests.conftest import main_of
from tests.search.test_admin import make_build, make_embedding, make_encoder, make_failed, make_pending
from tests.search.vectors import filled_with, random_vectors

WORK, BADGE, FAILURES = "/work/", "/work/badge/", "/work/failures/"
HTMX = {"HX-Request": "true"}


def make_import(owner, name="photos.zip", **fields):
    return Import.objects.create(owner=owner, kind="zip", name=name, **fields)


def queued():
    return [task.func() for task in OrmQ.objects.all()]


# --- who sees what ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [WORK, BADGE, f"{FAILURES}?encoder=1"])
def test_stranger_is_sent_to_the_login(client, db, path):
    assert client.get(path).url.startswith("/login/")


@pytest.mark.parametrize(
    "act", ["pause_embedding", "resume_embedding", "cancel_build", "pause_build", "resume_build", "retry_build"]
)
def test_member_pauses_and_cancels_nothing(user_client, client, serving, act):
    address = reverse(f"search:{act}", args=[1])
    assert client.post(address).url.startswith("/login/")
    assert user_client.post(address).status_code == 403
    assert user_client.get(address).status_code == 405
    assert Encoder.objects.embedding() == serving


def test_member_sees_own_imports_and_staff_all(user_client, staff_client, user, stranger, serving):
    make_import(user, "mine.zip"), make_import(stranger, "theirs.zip")
    assert [row.name for row in user_client.get(WORK).context["work"].imports] == ["mine.zip"]
    assert {row.name for row in staff_client.get(WORK).context["work"].imports} == {"mine.zip", "theirs.zip"}


def test_member_sees_no_builds_and_no_buttons_of_staff(user_client, staff_client, serving):
    make_build(1, serving, state="building", finished=None)
    make_pending(1, serving)
    assert "Index builds" not in user_client.get(WORK).text
    assert "/pause/" not in user_client.get(WORK).text
    page = staff_client.get(WORK).text
    assert "Index builds" in page
    assert "/pause/" in page


def test_page_takes_a_fixed_number_of_queries(staff_client, staff, serving, django_assert_max_num_queries):
    for number in range(10):
        row = make_import(staff, f"{number}.zip", state="done", finished=timezone.now())
        Refusal.objects.create(run=row, position=1, source="s", code="corrupt", detail="d", may_pass=True)
        make_failed(number, serving)
        make_build(number, serving, state="failed", error="No room.")
    make_build(11, serving, state="building", finished=None)
    make_pending(20, make_encoder(20))
    with django_assert_max_num_queries(12):
        staff_client.get(WORK)
    with django_assert_max_num_queries(12):
        staff_client.get(FAILURES, {"encoder": serving.pk, "reason": "The preview cannot be read"})
    with django_assert_max_num_queries(4):  # two of them for the session
        staff_client.get(BADGE)
    with django_assert_max_num_queries(2):
        staff_client.get(BADGE)


# --- how far ----------------------------------------------------------------------------------------------------


def test_page_asks_more_often_while_something_runs(user_client, user, serving):
    assert 'hx-trigger="every 5s"' in user_client.get(WORK, headers=HTMX).text
    row = make_import(user, state="running", total=10, stored=3, marks=[[time.time() - 10, 0]])
    page = user_client.get(WORK, headers=HTMX)
    assert "<html" not in page.text
    for told in ('hx-trigger="every 2s"', "3 of 10", "0.3 a second", " seconds left", 'value="3"'):
        assert told in page.text
    Import.objects.filter(pk=row.pk).update(state="paused")
    page = user_client.get(WORK, headers=HTMX).text
    assert 'hx-trigger="every 5s"' in page
    assert "Resume" in page


def test_ended_import_is_shown_for_a_day(user_client, user, serving):
    now = timezone.now()
    make_import(user, "today.zip", state="failed", error="The disk is full.", finished=now)
    make_import(user, "long-ago.zip", state="done", finished=now - timedelta(days=2))
    page = user_client.get(WORK).text
    assert "The disk is full." in page
    assert "Try again" in page
    assert "long-ago" not in page


def test_rate_of_embedding_is_of_the_last_minutes(staff, serving):
    now = timezone.now()
    for number in range(6):
        make_embedding(number, serving, embedded_at=now - timedelta(seconds=60 - 10 * number))
    make_embedding(7, serving, embedded_at=now - timedelta(hours=1))
    make_pending(8, serving)
    [filling] = work.fillings(staff)
    assert filling.per_second == pytest.approx(0.1, rel=0.05)
    assert filling.time_left.total_seconds() == pytest.approx(10, abs=1)
    assert (filling.done, filling.standing.pending) == (7, 1)


def test_encoder_beside_the_one_that_serves_is_shown_while_it_is_half_way(staff, user, serving):
    make_embedding(1, serving)
    idle, begun = make_encoder(1), make_encoder(2)
    make_embedding(2, begun)
    assert [filling.standing.row for filling in work.fillings(staff)] == [serving, begun]
    assert [filling.standing.row for filling in work.fillings(user)] == [serving]
    assert idle not in [filling.standing.row for filling in work.fillings(staff)]


def test_build_is_told_with_the_time_that_the_last_took(staff, serving):
    now = timezone.now()
    before = make_build(1, serving, rows=1000, finished=now)
    IndexBuild.objects.filter(pk=before.pk).update(started=now - timedelta(seconds=100))
    row = make_build(2, serving, rows=2000, state="building", finished=None)
    IndexBuild.objects.filter(pk=row.pk).update(started=now - timedelta(seconds=50))
    [building] = work.buildings()
    assert building.percent == 25
    assert building.time_left.total_seconds() == pytest.approx(150, abs=3)
    assert building.phase


def test_build_tells_how_fast_it_is_since_somebody_first_looked(staff_client, serving, monkeypatch):
    make_build(1, serving, state="building", finished=None)

    def told(done: int, seconds: float) -> str:
        monkeypatch.setattr(work, "_BUILT", f"SELECT 7, 'building index: loading tuples', {done}, 2000")
        monkeypatch.setattr(work, "time", SimpleNamespace(time=lambda: 1e9 + seconds))
        return main_of(staff_client.get(WORK))

    first, again, later = told(400, 0), told(400, 0.5), told(1600, 12)
    assert "Writing the index 20 %" in first
    assert "a second" not in first
    assert "a second" not in again
    assert "Writing the index 80 %" in later
    assert "100 a second" in later


def test_failed_build_is_told_until_one_serves(serving):
    make_build(1, serving, state="failed", error="No room.")
    assert [building.build.error for building in work.buildings()] == ["No room."]
    make_build(2, serving, state="ready")
    assert work.buildings() == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 second"), (59, "59 seconds"), (60, "1 minute"), (7000, "117 minutes"), (7200, "2 hours")],
)
def test_time_is_told_in_one_unit(seconds, said):
    assert roughly(timedelta(seconds=seconds)) == said


# --- the badge --------------------------------------------------------------------------------------------------


def told(client):
    from django.core.cache import cache

    cache.clear()
    return client.get(BADGE).context["badge"]


def test_badge_counts_what_is_left(user_client, staff_client, user, stranger, serving):
    assert told(user_client) == work.Badge()
    make_import(user, state="running", total=10, stored=3, refused=1)
    make_import(stranger, state="running", total=10)
    make_pending(1, serving)
    own = told(user_client)
    assert (own.importing, own.percent, own.pending, own.is_going_on) == (6, 40, 0, True)
    assert told(staff_client).left == 17
    assert "every 3s" in user_client.get(BADGE).text


def test_badge_says_that_what_is_left_is_paused(user_client, user, serving):
    make_import(user, state="paused", total=10)
    assert "Paused" in user_client.get(BADGE).text
    assert not told(user_client).is_going_on
    make_import(user, state="waiting", total=10)
    assert told(user_client).is_going_on


def test_badge_tells_staff_of_builds_and_of_another_encoder(staff_client, user_client, serving):
    make_embedding(1, make_encoder(1))
    make_build(1, serving, state="building", finished=None)
    badge = told(staff_client)
    assert badge.is_building
    assert badge.is_filling
    assert not told(user_client).is_going_on


def test_badge_is_on_every_page_of_a_member(user_client, client, settings, serving):
    settings.PUBLIC_READ = True
    assert 'id="work-badge"' in user_client.get("/gallery/").text
    assert 'id="work-badge"' not in client.get("/gallery/").text


# --- what can be done -------------------------------------------------------------------------------------------


def test_embedding_is_paused_and_resumed(staff_client, serving):
    make_pending(1, serving)
    assert staff_client.post(f"/work/embedding/{serving.pk}/pause/").url == WORK
    assert Encoder.objects.embedding() is None
    page = main_of(staff_client.get(WORK))
    assert "Paused" in page
    assert 'hx-trigger="every 2s"' not in page
    OrmQ.objects.all().delete()
    staff_client.post(f"/work/embedding/{serving.pk}/resume/")
    assert Encoder.objects.embedding() == serving
    assert queued() == ["search.tasks.embed_pending"]


def test_embedding_by_an_encoder_that_does_not_serve_is_cancelled_where_that_asks(staff_client, serving):
    other = make_encoder(1)
    for number, row in enumerate((serving, other)):
        make_pending(number, row)
    Encoder.objects.filter(pk=other.pk).update(work="fill")
    page = main_of(staff_client.get(WORK))
    assert reverse("admin:search_encoder_retire", args=[serving.pk]) not in page
    assert reverse("admin:search_encoder_retire", args=[other.pk]) in page


def test_encoder_that_is_retired_is_not_resumed(staff_client, serving):
    retiring = make_encoder(1)
    Encoder.objects.filter(pk=retiring.pk).update(work="retire")
    page = staff_client.post(f"/work/embedding/{retiring.pk}/resume/", follow=True).text
    assert "being retired" in page


def test_failed_build_is_tried_again(staff_client, serving):
    row = make_build(1, serving, state="failed", kind="hnsw")
    assert staff_client.post(f"/work/builds/{row.pk}/retry/").url == WORK
    [task] = OrmQ.objects.all()
    assert (task.func(), task.args()) == ("search.tasks.build_index", ("hnsw",))


@pytest.fixture
def indexable(user, settings):
    """An encoder that serves, with as many vectors as an index is built of."""
    settings.INDEX_MIN_ROWS = 100
    row = Encoder.objects.create(name="made", revision="1", dimensions=8, preprocessing=1)
    row.activate()
    filled_with(random_vectors(300, 8, clusters=6, spread=0.5), row, user)
    return row


@pytest.fixture
def ended(monkeypatch, indexable):
    """ended(how): the build that somebody has ended so while it was tuned."""

    def build(how):
        tune = index.tuning.tune

        def tune_what_is_ended(made):
            assert how(made)
            return tune(made)

        with monkeypatch.context() as patched:
            patched.setattr(index.tuning, "tune", tune_what_is_ended)
            with pytest.raises(BuildFailed, match=how.__name__):
                index.build(indexable)
        return IndexBuild.objects.get()

    return build


def is_there(made):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_indexes WHERE indexname = %s", [made.index_name])
        return bool(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_cancelled_build_leaves_what_serves_and_is_not_begun_again_at_once(indexable, ended):
    made = ended(index.cancel)
    assert (made.state, made.error) == ("failed", IndexBuild.CANCELLED)
    assert not index.is_due(indexable)
    assert not index.cancel(made)
    assert not is_there(made)


@pytest.mark.django_db(transaction=True)
def test_paused_build_takes_no_room_and_begins_anew_when_resumed_and_not_by_itself(staff_client, indexable, ended):
    made = ended(index.pause)
    assert (made.state, made.error) == ("paused", IndexBuild.PAUSED)
    assert not is_there(made)
    IndexBuild.objects.update(finished=timezone.now() - timedelta(days=30))
    assert not index.is_due(indexable)
    page = main_of(staff_client.get(WORK))
    assert "Paused" in page
    assert reverse("search:pause_build", args=[made.pk]) not in page
    assert reverse("search:retry_build", args=[made.pk]) not in page

    OrmQ.objects.all().delete()
    staff_client.post(reverse("search:resume_build", args=[made.pk]))
    assert index.is_due(indexable)
    [task] = OrmQ.objects.all()
    assert (task.func(), task.args()) == ("search.tasks.build_index", ("ivfflat",))
    assert "ivfflat" not in main_of(staff_client.get(WORK))


def test_paused_build_is_cancelled_or_comes_to_nothing_where_another_is_begun(indexable):
    paused = make_build(1, indexable, state="paused", error=IndexBuild.PAUSED)
    assert index.cancel(paused)
    paused.refresh_from_db()
    assert (paused.state, paused.error) == ("failed", IndexBuild.CANCELLED)

    other = make_build(2, indexable, state="paused", error=IndexBuild.PAUSED)
    index.build(indexable, kind="exact")
    other.refresh_from_db()
    assert other.state == "failed"


def test_build_whose_worker_was_killed_while_it_was_being_paused_is_paused(indexable):
    made = make_build(1, indexable, state="building", error=IndexBuild.PAUSED)
    index.tidy()
    made.refresh_from_db()
    assert made.state == "paused"


def test_build_to_compare_with_is_cancelled_but_not_paused(staff_client, indexable):
    made = make_build(1, indexable, state="building", is_to_compare=True)
    assert not index.pause(made)
    page = main_of(staff_client.get(WORK))
    assert reverse("search:pause_build", args=[made.pk]) not in page
    assert reverse("search:cancel_build", args=[made.pk]) in page


# --- what could not be done -------------------------------------------------------------------------------------


def test_failures_are_told_by_reason_and_tried_again(staff_client, serving):
    for number in range(3):
        make_embedding(number, serving, vector=None, embedded_at=None, error=f"The preview cannot be read: {number}")
    make_embedding(4, serving, vector=None, embedded_at=None, error="The encoder failed: lost")
    assert [(one.reason, one.count) for one in staff_client.get(WORK).context["work"].reasons] == [
        ("The preview cannot be read", 3), ("The encoder failed", 1),
    ]  # fmt: skip
    of_reason = {"encoder": serving.pk, "reason": "The preview cannot be read"}
    page = staff_client.get(FAILURES, of_reason).text
    assert "The preview cannot be read: 2" in page
    one = Embedding.objects.get(error="The preview cannot be read: 1")
    assert staff_client.post(f"{FAILURES}retry/", of_reason | {"asset": one.asset_id}).url.startswith(FAILURES)
    assert Embedding.objects.failed().count() == 3
    assert staff_client.post(f"{FAILURES}retry/", of_reason).url == WORK
    assert [row.error for row in Embedding.objects.failed()] == ["The encoder failed: lost"]
    assert "search.tasks.embed_pending" in queued()
    assert "None is left" in staff_client.get(FAILURES, of_reason).text


def test_member_sees_and_retries_failures_of_own_assets_alone(stranger_client, stranger, serving, user_client):
    failed = make_failed(1, serving)
    assert user_client.get(WORK).context["work"].reasons == []
    of_reason = {"encoder": serving.pk, "reason": "The preview cannot be read"}
    user_client.post(f"{FAILURES}retry/", of_reason)
    assert Embedding.objects.failed().get() == failed


@pytest.mark.parametrize("encoder", ["", "x", "999999"])
def test_failures_of_no_encoder_are_not_found(user_client, serving, encoder):
    assert user_client.get(FAILURES, {"encoder": encoder}).status_code == 404


def test_failures_come_in_pages(staff_client, serving, monkeypatch):
    monkeypatch.setattr("search.work_views._FAILURES_A_PAGE", 2)
    for number in range(3):
        make_failed(number, serving)
    of_reason = {"encoder": serving.pk, "reason": "The preview cannot be read"}
    page = staff_client.get(FAILURES, of_reason).text
    assert "Page 1 of 2" in page
    assert "reason=The+preview+cannot+be+read&amp;page=2" in page
    assert "Page 2 of 2" in staff_client.get(FAILURES, of_reason | {"page": 2}).text


def test_paused_embedding_survives_a_sweep(serving, monkeypatch):
    Encoder.objects.update(work="paused")
    make_pending(1, serving)
    monkeypatch.setattr(tasks.pipeline, "embed_pending", lambda *_, **__: pytest.fail("paused"))
    tasks.sweep()
    tasks.embed_pending()
