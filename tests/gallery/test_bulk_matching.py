"""What is done to all assets that filters let pass, as far as they are as many as somebody was told."""

import io
import json
import zipfile
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from gallery import bulk_forms
from gallery.models import Asset, Change, Collection, Tag

Make = Callable[..., Asset]
BULK, ZIP, MATCHING = reverse("gallery:bulk"), reverse("gallery:download_zip"), reverse("gallery:matching")
HTMX = {"HX-Request": "true"}
COUNT = 250


@pytest.fixture
def many(user: User) -> list[Asset]:
    """Rows without files, all of one collection; every fifth is portrait."""
    collection = Collection.objects.create(name="Many", owner=user)
    return Asset.objects.bulk_create(
        Asset(
            owner=user, collection=collection, title=f"{number}", filename=f"{number}.jpg", sha256=f"{number:064}",
            format="JPEG", width=300, height=200 if number % 5 else 400, size_bytes=1, status="ready",
        )
        for number in range(COUNT)
    )  # fmt: skip


def counted(client: Client, matching: str) -> int:
    return int(client.get(f"{MATCHING}?{matching}").json()["count"])


def said(client: Client, matching: str, count: int, **given: object) -> str:
    return client.post(BULK, {"matching": matching, "count": count, **given}, follow=True).content.decode()


def undo(client: Client) -> str:
    """What was done last."""
    act = Change.objects.values_list("act", flat=True).first()
    return client.post(reverse("gallery:undo", args=[act]), follow=True).content.decode()


def test_all_that_match_are_counted_at_this_moment(user_client: Client, many: list[Asset]) -> None:
    assert counted(user_client, "orientation=portrait") == 50
    many[0].delete()
    assert counted(user_client, "orientation=portrait") == 49
    assert counted(user_client, "") == COUNT - 1
    assert counted(user_client, "orientation=nonsense") == 0


def test_count_is_for_who_may_read(client: Client, many: list[Asset], settings) -> None:
    assert client.get(MATCHING).status_code == 302
    settings.PUBLIC_READ = True
    assert counted(client, "") == COUNT


def test_all_that_match_are_tagged_and_undone(user_client: Client, many: list[Asset]) -> None:
    assert "50 assets were tagged" in said(user_client, "orientation=portrait", 50, act="tag", tags="tall")
    assert set(Tag.objects.get(name="tall").assets.all()) == {asset for asset in many if asset.height == 400}
    assert "Undone: 50 assets are as they were" in undo(user_client)
    assert not Tag.objects.get(name="tall").assets.exists()


def test_all_that_match_lose_the_tag_that_they_match_by(user_client: Client, asset: Make) -> None:
    asset(1, tags=["red"]), asset(2, tags=["red"])
    assert "2 assets lost the tag" in said(user_client, "tag=red", 2, act="untag", tags="red")
    assert counted(user_client, "tag=red") == 0


def test_all_that_match_are_moved_and_back(user_client: Client, many: list[Asset]) -> None:
    assert "50 assets were moved" in said(
        user_client, "orientation=portrait", 50, act="move", new_collection="Portraits"
    )
    assert Collection.objects.get(name="Portraits").assets.count() == 50
    undo(user_client)
    assert Collection.objects.get(name="Many").assets.count() == COUNT


def test_without_filters_all_that_there_are_are_deleted_and_brought_back(
    user_client: Client, many: list[Asset], stranger: User, asset: Make
) -> None:
    asset(1, owner=stranger)
    told = said(user_client, "", COUNT + 1, act="delete")
    assert f"{COUNT} assets are in the trash. 1 is not yours and stays as it is." in told
    assert Asset.objects.kept().count() == 1
    assert f"Undone: {COUNT} assets are as they were" in undo(user_client)
    assert Asset.objects.kept().count() == COUNT + 1


def test_nothing_is_done_where_others_match_than_were_told_of(user_client: Client, many: list[Asset]) -> None:
    told = said(user_client, "orientation=portrait", 51, act="delete")
    assert "50 assets match now, not 51. Nothing was done." in told
    assert not Change.objects.exists()

    answer = user_client.post(BULK, {"matching": "", "count": 1, "act": "delete"}, headers=HTMX)
    assert json.loads(answer["HX-Trigger"])["matching-changed"] == {"count": COUNT}


@pytest.mark.parametrize("matching", ["orientation=nonsense", "collection=99", "tag=unknown"])
def test_filter_that_nothing_passes_reaches_nothing(user_client: Client, asset: Make, matching: str) -> None:
    asset(1)
    assert "0 assets match now, not 1." in said(user_client, matching, 1, act="delete")
    assert "Nothing is selected." in said(user_client, matching, 0, act="delete")
    assert Asset.objects.kept().exists()


@pytest.mark.parametrize(
    "given", [{"matching": "owner=%00", "count": "1"}, {"matching": "", "count": "many"}, {"count": "1"}]
)
def test_what_is_no_filter_or_number_is_refused(user_client: Client, asset: Make, given: dict[str, str]) -> None:
    asset(1)
    assert user_client.post(BULK, {**given, "act": "delete"}).status_code == 302
    assert Asset.objects.kept().exists()


def test_so_many_are_taken_at_once_and_no_more(user_client: Client, many: list[Asset], monkeypatch) -> None:
    monkeypatch.setattr(bulk_forms, "MOST_MATCHING", COUNT - 1)
    told = said(user_client, "", COUNT, act="delete")
    assert "At most 249 assets are taken at once. Narrow the filters." in told
    assert not Change.objects.exists()


def test_ids_of_very_many_are_no_header(user_client: Client, many: list[Asset]) -> None:
    given = {"matching": "", "count": COUNT, "act": "delete"}
    answer = user_client.post(BULK, given, headers=HTMX)
    assert answer["HX-Trigger"] == '{"assets-changed": {"act": "delete", "ids": null}}'


def test_acts_take_as_many_queries_for_very_many(
    user_client: Client, many: list[Asset], encoder, django_assert_max_num_queries
) -> None:
    for given in (
        {"act": "tag", "tags": "red, blue"},
        {"act": "untag", "tags": "blue"},
        {"act": "move", "new_collection": "Others"},
        {"act": "delete"},
    ):
        with django_assert_max_num_queries(30):
            user_client.post(BULK, {"matching": "", "count": COUNT, **given})
    assert Change.objects.count() == 4 * COUNT
    with django_assert_max_num_queries(30):
        undo(user_client)


def test_originals_of_all_that_match_come_as_one_file(user_client: Client, asset: Make) -> None:
    asset(1, tags=["red"]), asset(2), asset(3, tags=["red"])
    answer = user_client.post(ZIP, {"matching": "tag=red", "count": 2})
    pack = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    assert set(pack.namelist()) == {"picture-1.jpeg", "picture-3.jpeg"}

    told = user_client.post(ZIP, {"matching": "tag=red", "count": 3}, follow=True).content.decode()
    assert "2 assets match now, not 3." in told


def test_counts_are_made_anew_for_who_changed_something(user_client: Client, many: list[Asset]) -> None:
    def total(**headers: str) -> int:
        return int(user_client.get(reverse("gallery:counts"), headers=headers).context["counts"].total)

    assert total() == COUNT
    many[0].delete()
    assert total() == COUNT  # some seconds old
    assert total(**{"Cache-Control": "no-cache"}) == COUNT - 1
    assert total() == COUNT - 1
