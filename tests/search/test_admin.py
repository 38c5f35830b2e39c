import numpy as np
import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from gallery.models import Asset, Tag
from search import encoders, switching
from search.encoders import EncoderUnavailable
from search.models import Embedding, Encoder, IndexBuild, Measurement, Rule
from tests.gallery.test_admin import make_asset

EMBEDDINGS = "/admin/search/embedding/"
ENCODERS = "/admin/search/encoder/"
BUILDS = "/admin/search/indexbuild/"
MEASUREMENTS = "/admin/search/measurement/"
RULES = "/admin/search/rule/"


def make_encoder(number, *, active=False):
    return Encoder.objects.create(
        name=f"encoder-{number}", revision="1" * 40, dimensions=4, preprocessing=1, is_active=active
    )


def make_embedding(number, encoder, **fields):
    """Embedded, unless the fields say otherwise."""
    asset = make_asset(number, User.objects.get_or_create(username=f"owner-{number}")[0])
    vector = np.array([1, 0, 0, 0], dtype=np.float32)
    known = {"vector": vector, "embedded_at": timezone.now(), "attempts": 1, "claimed_until": timezone.now()}
    return Embedding.objects.create(asset=asset, encoder=encoder, **(known | fields))


def make_failed(number, encoder):
    return make_embedding(number, encoder, vector=None, embedded_at=None, error="The preview cannot be read: gone")


def make_pending(number, encoder):
    return make_embedding(number, encoder, vector=None, embedded_at=None)


def make_build(number, encoder, **fields):
    """Replaced, unless the fields say otherwise; searched with six probes."""
    known = {
        "encoder": encoder,
        "rows": 1000 + number,
        "parameters": {"lists": 20},
        "tuning": {
            "steps": [{"depth": 10, "breadth": 6, "candidates": None, "recall": 0.9, "p50_ms": 1.0}],
            "rows": 1000,
            "exact": {"base_ms": 0.4, "row_ms": 0.0015},
        },
        "state": IndexBuild.State.REPLACED,
        "finished": timezone.now(),
    }
    return IndexBuild.objects.create(**(known | fields))


def make_measurement(number, build, **fields):
    """A check, unless the fields say otherwise."""
    known = {
        "encoder": build.encoder,
        "build": build,
        "purpose": Measurement.Purpose.CHECK,
        "rows": 1000 + number,
        "kind": build.kind,
        "parameters": {"lists": 20, "probes": 6},
        "recall": 0.987,
        "p50_ms": 1.25,
    }
    return Measurement.objects.create(**(known | fields))


def make_rule(number, **fields):
    tag = Tag.objects.create(name=f"tag-{number}")
    return Rule.objects.create(**({"action": Rule.Action.PIN, "tag": tag} | fields))


READ_ONLY = {
    EMBEDDINGS: lambda number: make_embedding(number, make_encoder(number)),
    ENCODERS: lambda number: make_embedding(number, make_encoder(number)),
    BUILDS: lambda number: make_build(number, make_encoder(number)),
    MEASUREMENTS: lambda number: make_measurement(number, make_build(number, make_encoder(number))),
}
LISTS = READ_ONLY | {RULES: make_rule}


def queries_of(client, path):
    with CaptureQueriesContext(connection) as captured:
        response = client.get(path)
    assert response.status_code == 200
    return [query["sql"] for query in captured.captured_queries], len(response.context["cl"].result_list)


def run_action(client, path, action, rows):
    """What the page says after it."""
    return said(client.post(path, {"action": action, ACTION_CHECKBOX_NAME: [row.pk for row in rows]}, follow=True))


def said(response):
    return " ".join(str(message) for message in response.context["messages"])


def queued():
    return [task.func() for task in OrmQ.objects.all()]


@pytest.mark.parametrize("path", LISTS)
def test_list_takes_as_many_queries_for_30_rows_as_for_3(staff_client, path):
    for number in range(3):
        LISTS[path](number)
    staff_client.get(path)  # content types and the like are cached by the first page
    few, _ = queries_of(staff_client, path)
    for number in range(3, 30):
        LISTS[path](number)
    many, rows = queries_of(staff_client, path)
    assert rows == 30
    assert len(many) == len(few), many


@pytest.mark.parametrize("path", LISTS)
def test_list_is_closed_to_people_who_are_not_staff(stranger_client, path):
    response = stranger_client.get(path)
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("path", READ_ONLY)
def test_rows_can_be_read_and_neither_added_changed_nor_deleted(staff_client, path):
    READ_ONLY[path](1)
    row = staff_client.get(path).context["cl"].result_list[0]
    assert staff_client.get(f"{path}{row.pk}/change/").status_code == 200
    assert staff_client.post(f"{path}{row.pk}/change/", {"name": "x", "error": "x"}).status_code == 403
    assert staff_client.get(f"{path}add/").status_code == 403
    assert staff_client.post(f"{path}{row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_embedding_pages_never_load_a_vector(staff_client, serving):
    embedding = make_embedding(1, serving)
    for path in (EMBEDDINGS, f"{EMBEDDINGS}?q=asset", f"{EMBEDDINGS}{embedding.pk}/change/"):
        with CaptureQueriesContext(connection) as captured:
            assert "Asset 1" in staff_client.get(path).content.decode()
        read = [query["sql"] for query in captured.captured_queries if '"search_embedding"' in query["sql"]]
        assert read
        assert not any('"search_embedding"."vector",' in sql for sql in read)


@pytest.mark.parametrize("state", ["embedded", "failed", "pending"])
def test_embeddings_are_filtered_by_the_state_they_show(staff_client, serving, state):
    made = {
        "embedded": make_embedding(1, serving),
        "failed": make_failed(2, serving),
        "pending": make_pending(3, serving),
    }
    response = staff_client.get(f"{EMBEDDINGS}?state={state}")
    assert list(response.context["cl"].result_list) == [made[state]]
    assert f'<td class="field-state">{state.capitalize()}</td>' in response.content.decode()


@pytest.mark.parametrize(("query", "rows"), [("state=nonsense", 0), ("q=%20", 3), ("q=asset+2", 1), ("q=zebra", 0)])
def test_embeddings_are_found(staff_client, serving, query, rows):
    for number in range(1, 4):
        make_embedding(number, serving)
    assert len(staff_client.get(f"{EMBEDDINGS}?{query}").context["cl"].result_list) == rows


def test_embeddings_are_counted_without_their_assets_while_nothing_is_searched_for(staff_client, serving):
    queries, _ = queries_of(staff_client, EMBEDDINGS)
    (count,) = [sql for sql in queries if "COUNT(" in sql]
    assert "gallery_asset" not in count


def test_embeddings_are_filtered_by_encoder(staff_client, serving):
    make_embedding(1, serving)
    other = make_embedding(2, make_encoder(2))
    listed = staff_client.get(f"{EMBEDDINGS}?encoder__id__exact={other.encoder_id}").context["cl"].result_list
    assert list(listed) == [other]


def test_embedding_list_tells_why_one_failed(staff_client, serving):
    make_failed(1, serving)
    assert "The preview cannot be read: gone" in staff_client.get(EMBEDDINGS).content.decode()


def test_retry_forgets_the_selected_embeddings_and_queues_the_work(staff_client, serving):
    failed, kept = make_failed(1, serving), make_failed(2, serving)
    Asset.objects.update(status=Asset.Status.FAILED, error="gone")
    page = run_action(staff_client, EMBEDDINGS, "retry", [failed])
    assert f"{serving} embeds the assets again" in page
    assert list(Embedding.objects.all()) == [kept]
    failed.asset.refresh_from_db()
    assert (failed.asset.status, failed.asset.error) == (Asset.Status.PENDING, "")
    assert queued() == ["search.tasks.embed_pending"]


def test_retry_with_an_encoder_that_does_not_serve_says_what_to_run(staff_client, serving):
    other = make_encoder(2)
    failed = make_failed(1, other)
    Asset.objects.update(status=Asset.Status.READY)
    page = run_action(staff_client, EMBEDDINGS, "retry", [failed])
    assert "manage.py embed --encoder encoder-2" in page
    assert not Embedding.objects.exists()
    assert Asset.objects.get().status == Asset.Status.READY


def test_retry_forgets_of_each_encoder_what_was_selected_of_it_alone(staff_client, serving):
    other = make_encoder(2)
    first, second = make_failed(1, serving), make_failed(2, other)
    kept = {
        Embedding.objects.create(asset=first.asset, encoder=other, claimed_until=timezone.now()),
        Embedding.objects.create(asset=second.asset, encoder=serving, claimed_until=timezone.now()),
    }
    run_action(staff_client, EMBEDDINGS, "retry", [first, second])
    assert set(Embedding.objects.all()) == kept


def test_assets_are_embedded_again_by_the_serving_encoder_alone(staff_client, serving):
    embedding, other = make_embedding(1, serving), make_encoder(2)
    kept = Embedding.objects.create(asset=embedding.asset, encoder=other, claimed_until=timezone.now())
    Asset.objects.update(status=Asset.Status.READY)
    page = run_action(staff_client, "/admin/gallery/asset/", "embed_again", [embedding.asset])
    assert f"{serving} embeds the selected assets again" in page
    assert list(Embedding.objects.all()) == [kept]
    assert Asset.objects.get().status == Asset.Status.PENDING
    assert queued() == ["search.tasks.embed_pending"]


def test_assets_are_not_embedded_again_without_an_encoder(staff_client, staff):
    asset = make_asset(1, staff, status=Asset.Status.READY)
    page = run_action(staff_client, "/admin/gallery/asset/", "embed_again", [asset])
    assert "No encoder serves yet" in page
    assert Asset.objects.get().status == Asset.Status.READY
    assert not queued()


def test_asset_with_embeddings_can_be_deleted_although_those_are_read_only(staff_client, serving):
    asset = make_embedding(1, serving).asset
    asked = staff_client.get(f"/admin/gallery/asset/{asset.pk}/delete/").content.decode()
    assert "Are you sure" in asked
    staff_client.post(f"/admin/gallery/asset/{asset.pk}/delete/", {"post": "yes"})
    assert not Asset.objects.exists()
    assert not Embedding.objects.exists()


def test_encoder_list_counts_what_each_has_embedded_and_failed(staff_client, serving):
    for number in range(3):
        make_embedding(number, serving)
    make_failed(3, serving)
    make_pending(4, serving)
    make_encoder(2)
    listed = {row.name: row for row in staff_client.get(ENCODERS).context["cl"].result_list}
    counts = {name: (row.embedded_count, row.failed_count) for name, row in listed.items()}
    assert counts == {"encoder-1000": (3, 1), "encoder-2": (0, 0)}


@pytest.fixture
def successor(serving, mean_colour):
    """An encoder that can be loaded and does not serve yet."""
    return Encoder.objects.for_spec(encoders.spec("mean-colour"))


def test_encoder_that_has_embedded_every_asset_can_be_activated(staff_client, successor):
    embedding = make_embedding(1, successor)
    make_failed(2, successor)
    assert "mean-colour serves searches now" in run_action(staff_client, ENCODERS, "activate", [successor])
    assert Encoder.objects.active() == successor
    embedding.asset.refresh_from_db()
    assert embedding.asset.status == Asset.Status.READY


@pytest.mark.parametrize("make_other", [make_pending, lambda number, row: make_embedding(number, make_encoder(number))])
def test_encoder_that_lacks_an_embedding_is_not_activated(staff_client, serving, successor, make_other):
    make_embedding(1, successor)
    make_other(2, successor)
    page = run_action(staff_client, ENCODERS, "activate", [successor])
    assert "Assets without an embedding by it: 1." in page
    assert "manage.py embed --encoder mean-colour" in page
    assert Encoder.objects.active() == serving


def test_encoder_that_cannot_be_loaded_is_not_activated(staff_client, serving, successor, monkeypatch):
    def unavailable(row):
        raise EncoderUnavailable("Its weights are missing.", "Bring them.")

    monkeypatch.setattr(Encoder, "load", unavailable)
    assert "Its weights are missing. Bring them." in run_action(staff_client, ENCODERS, "activate", [successor])
    assert Encoder.objects.active() == serving


def test_encoder_this_version_does_not_know_is_not_activated(staff_client, serving):
    unknown = make_encoder(2)
    assert "No encoder 'encoder-2'" in run_action(staff_client, ENCODERS, "activate", [unknown])
    assert Encoder.objects.active() == serving


def test_two_encoders_are_not_activated_at_once(staff_client, serving, successor):
    assert "Select one encoder" in run_action(staff_client, ENCODERS, "activate", [serving, successor])
    assert Encoder.objects.active() == serving


def progress_of(row):
    return f"{ENCODERS}{row.pk}/progress/"


def retirement_of(row):
    return f"{ENCODERS}{row.pk}/retire/"


def test_encoder_without_a_row_is_started_from_the_list(staff_client, serving, mean_colour):
    assert '<option value="mean-colour">' in staff_client.get(ENCODERS).content.decode()
    response = staff_client.post(f"{ENCODERS}start/", {"encoder": "mean-colour"})
    row = Encoder.objects.get(name="mean-colour")
    assert response["Location"] == progress_of(row)
    assert list(Encoder.objects.filling()) == [row]
    assert queued() == ["search.tasks.embed_pending"]
    assert '<option value="mean-colour">' not in staff_client.get(ENCODERS).content.decode()


@pytest.mark.parametrize("data", [{}, {"encoder": "nonsense"}, {"encoder": "encoder-1000"}])
def test_encoder_there_is_not_is_not_started(staff_client, serving, data):
    assert "no such encoder" in said(staff_client.post(f"{ENCODERS}start/", data, follow=True))
    assert list(Encoder.objects.all()) == [serving]
    assert not queued()


def test_encoder_is_filled_paused_and_shown_as_such(staff_client, serving, successor):
    make_embedding(1, successor)
    make_pending(2, successor)
    assert "Paused 50 %" in staff_client.get(ENCODERS).content.decode()
    assert "is filled by the workers" in run_action(staff_client, ENCODERS, "fill", [successor])
    assert queued() == ["search.tasks.embed_pending"]
    assert "Embedding 50 %" in staff_client.get(ENCODERS).content.decode()
    assert "is paused" in run_action(staff_client, ENCODERS, "pause", [successor])
    assert not Encoder.objects.filling()
    assert "is paused" in run_action(staff_client, ENCODERS, "pause", [serving])
    assert Encoder.objects.embedding() is None


def test_progress_is_shown_with_rate_and_time_left_and_loads_itself_anew(staff_client, serving, successor):
    for number in range(3):
        make_embedding(number, successor)
    make_pending(4, successor)
    Encoder.objects.filter(pk=successor.pk).update(work="fill", images_per_s=0.5, error="No weights.")
    page = staff_client.get(progress_of(successor)).content.decode()
    for shown in ('value="75"', "3 of 4", "0.5 images/s", "0:00:02", "No weights.", 'http-equiv="refresh"'):
        assert shown in page
    assert page.count("<form") == page.count("csrfmiddlewaretoken")
    assert 'value="pause"' in page
    assert 'value="activate"' not in page


def test_progress_of_what_nobody_works_at_stands_still(staff_client, serving, successor):
    make_embedding(1, successor)
    page = staff_client.get(progress_of(successor)).content.decode()
    assert "http-equiv" not in page
    assert 'value="activate"' in page
    assert 'value="fill"' in page
    page = staff_client.get(progress_of(serving)).content.decode()
    assert 'value="pause"' in page
    assert not {'value="activate"', 'value="retire"'} & set(page.split())


def test_progress_takes_few_queries(staff_client, serving, successor, django_assert_max_num_queries):
    for number in range(10):
        make_embedding(number, successor)
    with django_assert_max_num_queries(5):  # session, user, the encoder and its counts, its index
        staff_client.get(progress_of(successor))


def test_retirement_is_confirmed_on_a_page_that_names_what_goes(staff_client, serving, successor):
    make_embedding(1, successor)
    response = staff_client.post(ENCODERS, {"action": "retire", ACTION_CHECKBOX_NAME: [successor.pk]}, follow=True)
    page = " ".join(response.content.decode().split())
    assert "deletes 1 embeddings by mean-colour, about 208" in page
    assert list(Encoder.objects.retiring()) == []
    assert "The workers retire mean-colour" in said(staff_client.post(retirement_of(successor), follow=True))
    assert list(Encoder.objects.retiring()) == [successor]
    assert queued() == ["search.tasks.retire"]
    assert "Being retired" in staff_client.get(ENCODERS).content.decode()
    assert "is being retired" in run_action(staff_client, ENCODERS, "fill", [successor])
    assert "is being retired" in run_action(staff_client, ENCODERS, "activate", [successor])


def test_encoder_that_serves_is_not_retired(staff_client, serving):
    for send in (staff_client.get, staff_client.post):
        assert "serves searches" in said(send(retirement_of(serving), follow=True))
    assert not Encoder.objects.retiring()
    assert not queued()


def test_page_of_an_encoder_that_is_gone_leads_back_to_the_list(staff_client, serving, successor):
    pages = [progress_of(successor), retirement_of(successor)]
    switching.retire(successor)
    for page in pages:
        assert "retired by now" in said(staff_client.get(page, follow=True))


def test_nothing_is_started_by_following_a_link(staff_client, serving):
    assert staff_client.get(f"{ENCODERS}start/").status_code == 405
    assert staff_client.post(progress_of(serving)).status_code == 405


def test_pages_of_an_encoder_are_closed_to_strangers(stranger_client, serving, successor):
    for page in (progress_of(successor), retirement_of(successor), f"{ENCODERS}start/"):
        for send in (stranger_client.get, stranger_client.post):
            assert send(page)["Location"].startswith("/admin/login/")
    for action in ("fill", "pause", "activate", "retire"):
        stranger_client.post(ENCODERS, {"action": action, ACTION_CHECKBOX_NAME: [successor.pk]})
    assert list(Encoder.objects.order_by("pk").values_list("is_active", "work")) == [
        (True, "fill"), (False, "paused"),
    ]  # fmt: skip
    assert not queued()


def test_staff_without_permission_see_how_far_an_encoder_is_and_change_nothing(clerk_client, serving, successor):
    make_embedding(1, successor)
    page = clerk_client.get(progress_of(successor)).content.decode()
    assert "1 of 1" in page
    assert 'name="action"' not in page
    assert "Embed the gallery with it" not in clerk_client.get(ENCODERS).content.decode()
    assert clerk_client.post(f"{ENCODERS}start/", {"encoder": "descriptor"}).status_code == 403
    assert clerk_client.get(retirement_of(successor)).status_code == 403
    assert clerk_client.post(retirement_of(successor)).status_code == 403
    assert not Encoder.objects.retiring()


def test_staff_without_permission_look_and_set_nothing_going(clerk_client, serving, successor):
    failed = make_failed(1, serving)
    of_encoders = [(ENCODERS, action, successor) for action in ("fill", "pause", "activate", "retire")]
    for path, action, row in ((EMBEDDINGS, "retry", failed), *of_encoders):
        page = clerk_client.get(path).content.decode()
        assert f'value="{action}"' not in page
        run_action(clerk_client, path, action, [row])
    assert list(Embedding.objects.all()) == [failed]
    assert Encoder.objects.active() == serving
    assert not queued()
