"""What lies in the trash is out of everyone's sight, and comes back as it was."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from gallery import integrity, tasks, trash
from gallery.filters import AssetFilter
from gallery.history import Act
from gallery.models import Asset, Collection
from gallery.uploads import Details, store_upload

Make = Callable[..., Asset]
API = "/api/v1/assets/"


@pytest.fixture
def deleted(user: User, asset: Make) -> Asset:
    """An asset of `user`, in the trash; tagged "gone", in the collection "Spring"."""
    spring = Collection.objects.create(name="Spring", owner=user)
    made = asset(1, title="Deleted one", tags=["gone"], collection=spring)
    trash.move_to_trash(Asset.objects.filter(pk=made.pk), Act(user))
    made.refresh_from_db()
    return made


def page(client: Client, name: str, *args: object, **query: object) -> str:
    return client.get(reverse(f"gallery:{name}", args=args), query).content.decode()


def is_up(asset: Asset) -> None:
    Asset.objects.filter(pk=asset.pk).update(delete_after=timezone.now() - timedelta(seconds=1))


# --- out of sight -----------------------------------------------------------------------------------------------


def test_deleting_moves_to_the_trash_and_says_where_it_is(user_client: Client, user: User, asset: Make) -> None:
    made = asset(1, title="Red shoe")
    answer = user_client.post(reverse("gallery:delete", args=[made.pk]), follow=True)

    made.refresh_from_db()
    assert made.trashed is not None
    assert made.trashed_by == user
    assert made.delete_after is not None
    assert made.delete_after - made.trashed == timedelta(days=30)
    assert "“Red shoe” is in the trash" in answer.content.decode()
    assert default_storage.exists(str(made.original))


def test_trash_is_kept_for_as_many_days_as_the_setting_says(user: User, asset: Make, settings) -> None:
    settings.TRASH_DAYS = 3
    made = asset()
    trash.move_to_trash(Asset.objects.all(), Act(user))
    made.refresh_from_db()
    assert made.delete_after - made.trashed == timedelta(days=3)


def test_gallery_shows_counts_and_finds_nothing_of_the_trash(staff_client: Client, deleted: Asset) -> None:
    for query in ({}, {"q": "deleted"}, {"tag": "gone"}, {"not_tag": "other"}, {"format": "JPEG"}):
        assert deleted.get_absolute_url() not in page(staff_client, "gallery", **query)
    assert Asset.objects.counts_by_status() == {"pending": 0, "ready": 0, "failed": 0}
    assert staff_client.get("/api/v1/status/").json()["assets"]["pending"] == 0
    assert 'assetsearch_assets{status="pending"} 0.0' in staff_client.get("/metrics").content.decode()


def test_collections_tags_and_owners_count_nothing_of_the_trash(staff_client: Client, deleted: Asset) -> None:
    assert f"/assets/{deleted.pk}/" not in page(staff_client, "collections")
    assert "gone" not in page(staff_client, "tags")
    assert not AssetFilter({}, Asset.objects.all()).owners.exists()


def test_neighbours_leave_the_trash_out(user_client: Client, user: User, asset: Make) -> None:
    first, middle, last = asset(1), asset(2), asset(3)
    trash.move_to_trash(Asset.objects.filter(pk=middle.pk), Act(user))
    assert last.get_absolute_url() in page(user_client, "asset", first.pk)
    assert f"/assets/{middle.pk}/" not in page(user_client, "asset", first.pk)


@pytest.mark.parametrize("name", ["asset", "download", "preview", "thumbnail"])
def test_trash_is_seen_by_who_can_restore_it_alone(
    user_client: Client, staff_client: Client, stranger_client: Client, deleted: Asset, name: str
) -> None:
    address = reverse(f"gallery:{name}", args=[deleted.pk])
    assert user_client.get(address).status_code == 200
    assert staff_client.get(address).status_code == 200
    assert stranger_client.get(address).status_code == 404


@pytest.mark.parametrize("name", ["edit", "delete"])
def test_trash_cannot_be_changed(user_client: Client, deleted: Asset, name: str) -> None:
    assert user_client.post(reverse(f"gallery:{name}", args=[deleted.pk]), {"title": "New"}).status_code == 404


def test_trash_is_searched_with_by_nobody(user_client: Client, api: APIClient, deleted: Asset) -> None:
    assert user_client.get(reverse("search:similar", args=[deleted.pk])).status_code == 404
    assert api.get(f"{API}{deleted.pk}/similar/").status_code == 404
    assert api.get(f"{API}{deleted.pk}/same/").status_code == 404


def test_integrity_of_what_lies_in_the_trash_is_checked(deleted: Asset) -> None:
    assert list(integrity.check_assets(repair=False)) == [[]]
    deleted.original.storage.delete(deleted.original.name)
    assert list(integrity.check_assets(repair=False)) != [[]]


# --- and back ---------------------------------------------------------------------------------------------------


def test_restoring_brings_it_back_as_it_was(user_client: Client, deleted: Asset) -> None:
    answer = user_client.post(reverse("gallery:restore", args=[deleted.pk]), follow=True)

    deleted.refresh_from_db()
    assert (deleted.trashed, deleted.trashed_by, deleted.delete_after) == (None, None, None)
    assert [tag.name for tag in deleted.tags.all()] == ["gone"]
    assert str(deleted.collection) == "Spring"
    assert "is back" in answer.content.decode()
    assert deleted.get_absolute_url() in page(user_client, "gallery", q="deleted", tag="gone")


@pytest.mark.parametrize("name", ["restore", "delete_for_good"])
def test_strangers_neither_restore_nor_give_up(stranger_client: Client, deleted: Asset, name: str) -> None:
    assert stranger_client.post(reverse(f"gallery:{name}", args=[deleted.pk])).status_code == 404
    deleted.refresh_from_db()
    assert deleted.delete_after > timezone.now()


def test_uploading_what_lies_in_the_trash_brings_it_back_and_says_so(
    stranger: User, picture: Callable[..., SimpleUploadedFile], deleted: Asset
) -> None:
    stored = store_upload(picture(1), stranger, Details(title="Another"))

    assert (stored.asset.pk, stored.duplicate, stored.restored) == (deleted.pk, True, True)
    assert stored.asset.trashed is None
    assert stored.told["restored"] is True
    assert Asset.objects.kept().get() == deleted
    assert not store_upload(picture(1), stranger).restored


def test_upload_page_says_that_it_was_in_the_trash(
    user_client: Client, picture: Callable[..., SimpleUploadedFile], deleted: Asset
) -> None:
    answer = user_client.post(reverse("gallery:upload"), {"file": picture(1)})
    assert "It lay in the trash, and is back" in answer.content.decode()


# --- the page ---------------------------------------------------------------------------------------------------


def test_trash_lists_the_last_deleted_first_and_their_own_alone(
    user_client: Client, staff_client: Client, user: User, staff: User, asset: Make
) -> None:
    first, second, of_staff, kept = asset(1), asset(2), asset(3, owner=staff), asset(4)
    for made in (second, first, of_staff):
        trash.move_to_trash(Asset.objects.filter(pk=made.pk), Act(user))

    shown = page(user_client, "trash")
    assert shown.index(first.get_absolute_url()) < shown.index(second.get_absolute_url())
    assert of_staff.get_absolute_url() not in shown
    assert kept.get_absolute_url() not in shown
    assert of_staff.get_absolute_url() in page(staff_client, "trash")


def test_empty_trash_says_what_it_is_for(user_client: Client) -> None:
    assert "waits here for 30 days" in page(user_client, "trash")


def test_trash_is_closed_to_who_is_not_signed_in(client: Client, settings) -> None:
    settings.PUBLIC_READ = True
    assert client.get(reverse("gallery:trash")).status_code == 302


def test_trash_takes_as_many_queries_for_many(
    user_client: Client, user: User, asset: Make, django_assert_max_num_queries
) -> None:
    for seed in range(12):
        asset(seed)
    trash.move_to_trash(Asset.objects.all(), Act(user))
    with django_assert_max_num_queries(12):
        page(user_client, "trash")


def test_moving_and_restoring_take_as_many_queries_for_many(
    user: User, asset: Make, encoder, django_assert_max_num_queries
) -> None:
    for seed in range(12):
        asset(seed)
    with django_assert_max_num_queries(10):
        trash.move_to_trash(Asset.objects.all(), moved := Act(user))
        assert len(moved.changed) == 12
    with django_assert_max_num_queries(12):
        trash.restore(Asset.objects.all(), restored := Act(user))
        assert len(restored.changed) == 12


# --- for good ---------------------------------------------------------------------------------------------------


def test_sweep_deletes_for_good_what_has_lain_long_enough_and_nothing_else(
    user: User, asset: Make, django_capture_on_commit_callbacks
) -> None:
    old, recent, kept = asset(1), asset(2), asset(3)
    trash.move_to_trash(Asset.objects.exclude(pk=kept.pk), Act(user))
    is_up(old)
    with django_capture_on_commit_callbacks(execute=True):
        tasks.sweep_trash()

    assert set(Asset.objects.all()) == {recent, kept}
    assert not default_storage.exists(str(old.original))
    assert default_storage.exists(str(recent.original))


def test_what_is_restored_at_the_last_moment_stays(deleted: Asset) -> None:
    is_up(deleted)
    trash.restore(Asset.objects.filter(pk=deleted.pk), Act(deleted.owner))
    tasks.sweep_trash()
    assert Asset.objects.get() == deleted


def test_deleting_for_good_asks_first(user_client: Client, deleted: Asset) -> None:
    address = reverse("gallery:delete_for_good", args=[deleted.pk])
    assert b"cannot be undone" in user_client.get(address).content
    assert Asset.objects.in_trash_of(deleted.owner).exists()

    assert user_client.post(address).status_code == 302
    assert deleted.get_absolute_url() not in page(user_client, "trash")
    tasks.sweep_trash()
    assert not Asset.objects.exists()


def test_emptying_asks_first_and_takes_their_own_alone(
    user_client: Client, staff: User, asset: Make, deleted: Asset
) -> None:
    other = asset(2, owner=staff)
    trash.move_to_trash(Asset.objects.filter(pk=other.pk), Act(staff))
    assert "1 asset will be gone" in page(user_client, "empty_trash")

    assert user_client.post(reverse("gallery:empty_trash")).status_code == 302
    tasks.sweep_trash()
    assert Asset.objects.get() == other


def test_only_the_trash_can_be_deleted_for_good(user_client: Client, asset: Make) -> None:
    made = asset()
    assert user_client.post(reverse("gallery:delete_for_good", args=[made.pk])).status_code == 404
    trash.doom(Asset.objects.all())
    tasks.sweep_trash()
    assert Asset.objects.get() == made


# --- the API ----------------------------------------------------------------------------------------------------


def test_api_deletes_to_the_trash_lists_it_and_restores(api: APIClient, asset: Make) -> None:
    made = asset(1, title="Red shoe")
    assert api.delete(f"{API}{made.pk}/").status_code == 204
    assert api.get(f"{API}{made.pk}/").status_code == 404
    assert api.delete(f"{API}{made.pk}/").status_code == 404
    assert api.get(API).json()["results"] == []
    assert [one["id"] for one in api.get(f"{API}trash/").json()["results"]] == [made.pk]

    answer = api.post(f"{API}{made.pk}/restore/")
    assert (answer.status_code, answer.json()["title"]) == (200, "Red shoe")
    assert [one["id"] for one in api.get(API).json()["results"]] == [made.pk]
    assert api.post(f"{API}{made.pk}/restore/").status_code == 404


def test_api_of_the_trash_is_for_who_can_restore(client: Client, stranger: User, deleted: Asset, settings) -> None:
    settings.PUBLIC_READ = True
    assert client.get(f"{API}trash/").json()["results"] == []
    stranger_api = APIClient()
    stranger_api.force_authenticate(stranger)
    assert stranger_api.get(f"{API}trash/").json()["results"] == []
    assert stranger_api.post(f"{API}{deleted.pk}/restore/").status_code == 404
    assert stranger_api.get(f"{API}{deleted.pk}/download/").status_code == 404


def test_api_upload_of_what_lies_in_the_trash_says_that_it_is_back(
    api: APIClient, picture: Callable[..., SimpleUploadedFile], deleted: Asset
) -> None:
    answer = api.post(API, {"file": picture(1)}, format="multipart")
    assert (answer.status_code, answer.json()["duplicate"], answer.json()["restored"]) == (200, True, True)


# --- the admin --------------------------------------------------------------------------------------------------


def test_admin_lists_what_is_kept_or_the_trash(staff_client: Client, asset: Make, deleted: Asset) -> None:
    kept = asset(2, title="Kept one")
    address = reverse("admin:gallery_asset_changelist")
    for query, shown in ({}, {kept}), ({"trash": "in"}, {deleted}), ({"trash": "any"}, {kept, deleted}):
        listed = staff_client.get(address, query).content.decode()
        assert {one for one in (kept, deleted) if one.title in listed} == shown


def test_admin_moves_to_the_trash_and_back(staff_client: Client, asset: Make) -> None:
    made, address = asset(), reverse("admin:gallery_asset_changelist")
    for action, is_in_trash in ("move_to_trash", True), ("restore", False):
        staff_client.post(f"{address}?trash=any", {"action": action, "_selected_action": [made.pk]})
        made.refresh_from_db()
        assert bool(made.trashed) is is_in_trash
