import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django_q.models import OrmQ, Schedule

from gallery.models import Asset
from gallery.uploads import store_upload
from search import encoders, index, pipeline, tasks
from search.encoders import EncoderSpec, EncoderUnavailable
from search.metrics import METRICS
from search.models import Embedding, Encoder, IndexBuild, RecentQuery
from tests.search.vectors import filled_with, random_vectors


def queued():
    return [(one.key, one.func(), one.args()) for one in OrmQ.objects.order_by("pk")]


@pytest.mark.django_db(transaction=True)
def test_upload_by_hand_queues_its_own_embedding(user, picture):
    asset = store_upload(picture(1), user).asset
    assert queued() == [("interactive", "search.tasks.embed_asset", (asset.pk,))]


@pytest.mark.django_db(transaction=True)
def test_bulk_uploads_queue_behind_nobody(user, picture):
    for seed in range(3):
        store_upload(picture(seed), user, in_bulk=True)
    assert queued() == [("bulk", "search.tasks.embed_pending", ())]


def test_task_embeds_its_asset_only(encoder, asset):
    first, second = asset(1), asset(2)
    tasks.embed_asset(second.pk)
    assert dict(Asset.objects.values_list("pk", "status")) == {first.pk: "pending", second.pk: "ready"}


def test_task_delivered_twice_makes_one_embedding(encoder, asset):
    stored = asset(1)
    tasks.embed_asset(stored.pk)
    tasks.embed_asset(stored.pk)
    assert Embedding.objects.filter(asset=stored).count() == 1


def test_sweep_heals_what_the_queue_lost(encoder, asset):
    stored = asset(1)
    OrmQ.objects.all().delete()
    tasks.sweep()
    stored.refresh_from_db()
    assert stored.status == Asset.Status.READY


def test_drain_queues_itself_until_nothing_is_left(encoder, asset):
    asset(1)
    OrmQ.objects.all().delete()
    tasks.embed_pending()
    assert queued() == [("bulk", "search.tasks.embed_pending", ())]
    OrmQ.objects.all().delete()
    tasks.embed_pending()
    assert queued() == []


def test_drains_do_not_pile_up(encoder, asset):
    for seed in range(3):
        asset(seed)
        tasks.queue_pending()
        tasks.sweep()
    assert queued() == [("bulk", "search.tasks.embed_pending", ())]


@pytest.mark.django_db(transaction=True)
def test_failed_build_is_not_tried_again_at_once(colour_encoder, user, settings, monkeypatch):
    settings.INDEX_MIN_ROWS = 50
    filled_with(random_vectors(51, 4), colour_encoder, user)
    monkeypatch.setattr(index, "_create", lambda made: 1 / 0)
    tasks.sweep()
    tasks.sweep()
    assert IndexBuild.objects.filter(state="failed").count() == 1


def test_tasks_without_an_encoder_do_nothing(asset, db):
    stored = asset(1)
    tasks.embed_asset(stored.pk)
    tasks.sweep()
    stored.refresh_from_db()
    assert stored.status == Asset.Status.PENDING


def test_encoder_that_cannot_be_loaded_fails_no_task_and_loses_nothing(encoder, asset, monkeypatch):
    def fail(row):
        raise EncoderUnavailable("The weights are gone.", "Fetch them.")

    stored = asset(1)
    with monkeypatch.context() as patched:
        patched.setattr(Encoder, "load", fail)
        tasks.embed_asset(stored.pk)
        tasks.sweep()
    tasks.sweep()
    stored.refresh_from_db()
    assert stored.status == Asset.Status.READY


@pytest.mark.django_db(transaction=True)
def test_sweep_builds_an_index_when_it_pays_and_calibrates(user):
    row = Encoder.objects.create(name="made", revision="1", dimensions=64, preprocessing=1)
    row.activate()
    filled_with(random_vectors(1000, 64), row, user)
    tasks._keep_index(row)
    built = IndexBuild.objects.serving(row)
    try:
        assert built.rows == 1000
    finally:
        index._drop(built)


def test_sweep_forgets_all_but_the_most_recent_queries(colour_encoder, monkeypatch):
    monkeypatch.setattr(tasks, "_QUERIES_KEPT", 3)
    vector = np.array([1, 0, 0, 0], np.float32)
    made = [RecentQuery.objects.create(encoder=colour_encoder, vector=vector) for _ in range(5)]
    tasks.sweep()
    assert list(RecentQuery.objects.order_by("pk")) == made[2:]
    tasks.sweep()
    assert RecentQuery.objects.count() == 3


def test_sweep_calibrates_once_there_are_enough(colour_encoder, user):
    filled_with(random_vectors(60, 4), colour_encoder, user)
    Asset.objects.update(status=Asset.Status.READY)
    tasks.sweep()
    assert set(colour_encoder.calibrations.values_list("metric", flat=True)) == set(METRICS)


class TestPrepare:
    @pytest.fixture
    def unavailable(self, monkeypatch, settings):
        """An encoder whose weights cannot be had, wanted by the settings."""

        def fail(spec):
            raise EncoderUnavailable("The model hub does not answer.", "Set MODEL_DIR.")

        monkeypatch.setitem(encoders.SPECS, "far-away", EncoderSpec("far-away", "1", 8, 1, fail))
        settings.ENCODER = "far-away"

    def test_first_admin_is_made_once_and_its_password_printed_once(self, db, capsys, client, settings):
        settings.ADMIN_PASSWORD = ""
        call_command("prepare")
        password = capsys.readouterr().out.split("the password: ")[1].split()[0]
        assert client.login(username="admin", password=password)
        call_command("prepare")
        assert "password" not in capsys.readouterr().out

    def test_admin_gets_the_password_of_the_environment(self, db, capsys, client, settings):
        settings.ADMIN_PASSWORD = "from outside"
        call_command("prepare")
        assert client.login(username="admin", password="from outside")
        assert "from outside" not in capsys.readouterr().out

    def test_sweeps_are_scheduled_once(self, db):
        call_command("prepare")
        call_command("prepare")
        assert [*Schedule.objects.order_by("name").values_list("func", "cluster", "minutes")] == [
            ("search.tasks.forget_query_pictures", "bulk", 10),
            ("search.tasks.sweep", "bulk", 1),
            ("gallery.integrity.sweep", "bulk", 20),
            ("gallery.tasks.sweep_imports", "bulk", 1),
            ("gallery.tasks.sweep_trash", "bulk", 1),
        ]

    def test_built_in_encoder_serves_and_says_why(self, db, unavailable, capsys):
        call_command("prepare")
        said = " ".join(capsys.readouterr().out.split())
        assert "far-away cannot be used: The model hub does not answer. Set MODEL_DIR." in said
        assert "manage.py embed --encoder far-away" in said
        assert Encoder.objects.active().name == "descriptor"

    def test_encoder_never_changes_by_itself(self, colour_encoder, capsys):
        call_command("prepare")
        assert Encoder.objects.active() == colour_encoder
        assert "manage.py embed --encoder descriptor" in " ".join(capsys.readouterr().out.split())


class TestEmbedCommand:
    def test_encoder_is_brought_in_beside_the_serving_one(self, encoder, mean_colour, asset, capsys):
        for seed in range(5):
            asset(seed)
        pipeline.embed_pending(encoder)
        call_command("embed", encoder="mean-colour")
        row = Encoder.objects.get(name="mean-colour")
        assert Encoder.objects.active() == encoder
        assert "manage.py activate mean-colour" in capsys.readouterr().out
        assert Embedding.objects.embedded().filter(encoder=row).count() == 5
        assert Embedding.objects.embedded().filter(encoder=encoder).count() == 5
        assert set(Asset.objects.values_list("status", flat=True)) == {"ready"}

    def test_interrupted_command_goes_on_where_it_stopped(self, encoder, mean_colour, asset):
        for seed in range(5):
            asset(seed)
        row = Encoder.objects.for_spec(encoders.spec("mean-colour"))
        pipeline.embed(list(Asset.objects.values_list("pk", flat=True)[:3]), row)
        mean_colour.batches.clear()
        call_command("embed", encoder="mean-colour")
        assert sum(mean_colour.batches) == 2

    def test_failed_assets_are_tried_again_when_asked(self, colour_encoder, flat, mean_colour):
        flat(200, 0, 0)
        poison = flat(13, 13, 13)
        call_command("embed")
        mean_colour.poison = 99
        call_command("embed")
        poison.refresh_from_db()
        assert poison.status == "failed"
        call_command("embed", retry_failed=True)
        poison.refresh_from_db()
        assert poison.status == "ready"

    def test_unknown_and_unavailable_encoders_are_named(self, encoder, monkeypatch):
        def fail(spec):
            raise EncoderUnavailable("No weights.", "Fetch them.")

        monkeypatch.setitem(encoders.SPECS, "far-away", EncoderSpec("far-away", "1", 8, 1, fail))
        with pytest.raises(CommandError, match="There are: "):
            call_command("embed", encoder="nothing")
        with pytest.raises(CommandError, match=r"No weights\. Fetch them\."):
            call_command("embed", encoder="far-away")
        assert Encoder.objects.active() == encoder

    def test_vectors_of_an_older_version_are_not_mixed_with_new_ones(self, colour_encoder, monkeypatch, mean_colour):
        newer = EncoderSpec("mean-colour", "2", 4, 1, lambda _: mean_colour)
        monkeypatch.setitem(encoders.SPECS, "mean-colour", newer)
        with pytest.raises(EncoderUnavailable, match="another version"):
            colour_encoder.load()
