"""The sample gallery: drawn here, searched with sense, and gone with one click."""

import io

import numpy as np
import pytest
from django_q.models import OrmQ
from PIL import Image

from gallery import tasks
from gallery.import_models import Import
from gallery.ingest import background
from gallery.models import Asset, Collection
from gallery.samples import catalogue
from search.encoders.descriptor import Descriptor

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def few(monkeypatch):
    """Four of the pictures."""
    monkeypatch.setattr(catalogue, "names", lambda: ["seas/1", "dots/1", "seas/2", "fruit/3"])


def drained():
    while waiting := [task for task in OrmQ.objects.order_by("pk") if task.func() == "gallery.tasks.run_import"]:
        arguments = waiting[0].args()
        waiting[0].delete()
        tasks.run_import(*arguments)
    return Import.objects.latest("pk")


def vector(name):
    encoder = Descriptor()
    return encoder.encode(encoder.prepare(Image.open(io.BytesIO(catalogue.drawn(name))))[None])[0]


def test_same_name_gives_the_same_picture_and_another_another():
    assert catalogue.drawn("seas/1") == catalogue.drawn("seas/1")
    assert catalogue.drawn("seas/1") != catalogue.drawn("seas/4")


def test_search_finds_pictures_of_the_same_family():
    assert len(set(catalogue.names())) == 120
    names = catalogue.names()[:80]
    vectors = np.stack([vector(name) for name in names])
    similarity = vectors @ vectors.T - 2 * np.eye(len(names))
    families = np.array([name.split("/")[0] for name in names])
    nearest = np.argsort(-similarity, axis=1)[:, :5]
    precision = {family: (families[nearest[families == family]] == family).mean() for family in catalogue.FAMILIES}
    assert min(precision.values()) >= 0.75, precision
    assert np.mean(list(precision.values())) >= 0.95, precision


@pytest.mark.parametrize("path", ["/", "/gallery/"])
def test_empty_gallery_says_what_to_do(user_client, client, settings, encoder, path):
    page = user_client.get(path).text
    for address in ("/upload/", "/import/", "/sample/"):
        assert f'"{address}"' in page
    settings.PUBLIC_READ = True
    page = client.get(path).text
    assert "Nobody has uploaded a picture yet" in page
    assert "/sample/" not in page


def test_sample_is_drawn_in_the_background_and_removed_with_one_click(user_client, user, few, asset):
    own = asset(1, tags=["sample"])
    page = user_client.post("/sample/")
    assert page.url == f"/imports/{Import.objects.get().pk}/"
    assert user_client.post("/sample/").url == page.url  # a second click
    row = drained()
    assert (row.state, row.stored, row.refused) == ("done", 4, 0)
    sea = Asset.objects.get(source_url="sample:seas/1")
    assert sea.collection.name == "Sample gallery"
    assert {tag.name for tag in sea.tags.all()} == {"sample", "landscape", "sea"}
    kept = Asset.objects.get(source_url="sample:dots/1")
    Asset.objects.filter(pk=kept.pk).update(collection=None)
    assert "/sample/remove/" in user_client.get("/gallery/").text
    assert user_client.post("/sample/remove/").url == "/gallery/"
    assert set(Asset.objects.all()) == {own, kept}
    assert not Collection.objects.exists()
    assert "/sample/remove/" not in user_client.get("/gallery/").text


def test_removal_stops_what_is_still_drawn_and_leaves_what_others_put_there(user_client, stranger, few, asset):
    user_client.post("/sample/")
    row = Import.objects.get()
    theirs = asset(1, owner=stranger, collection=row.collection)
    user_client.post("/sample/remove/")
    assert not Import.objects.exists()
    for task in OrmQ.objects.all():
        if task.func() == "gallery.tasks.run_import":
            tasks.run_import(*task.args())
    assert list(Asset.objects.all()) == [theirs]
    assert Collection.objects.get().name == "Sample gallery"


def test_stranger_draws_and_removes_nothing(client, stranger_client, user, few):
    for path in ("/sample/", "/sample/remove/"):
        assert client.post(path).url.startswith("/login/")
    tasks.queue_import(background.begin_sample(user))
    drained()
    stranger_client.post("/sample/remove/")
    assert Asset.objects.count() == 4
    assert Import.objects.count() == 1


def test_page_of_pictures_under_way_leads_to_their_progress(user_client, user, few, encoder):
    row = background.begin_sample(user)
    page = user_client.get("/gallery/").text
    assert "Pictures are coming in" in page
    assert row.get_absolute_url() in page
