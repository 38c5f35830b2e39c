"""What is done to many assets at once, what of it is told, and how it is undone."""

import io
import zipfile
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from gallery import changing, packing, undoing
from gallery.bulk_forms import MOST_AT_ONCE
from gallery.history import Act
from gallery.models import Asset, Change, Collection
from gallery.uploads import store_upload

Make = Callable[..., Asset]
BULK, ZIP = reverse("gallery:bulk"), reverse("gallery:download_zip")


def ids(*assets: Asset) -> str:
    return ",".join(str(asset.pk) for asset in assets)


def names(asset: Asset) -> list[str]:
    return sorted(tag.name for tag in asset.tags.all())


def said(client: Client, **given: object) -> str:
    return client.post(BULK, given, follow=True).content.decode()


def undo(client: Client) -> str:
    """What was done last."""
    act = Change.objects.values_list("act", flat=True).first()
    return client.post(reverse("gallery:undo", args=[act]), follow=True).content.decode()


@pytest.fixture
def spring(user: User) -> Collection:
    return Collection.objects.create(name="Spring", owner=user)


# --- acts -------------------------------------------------------------------------------------------------------


def test_tags_are_added_and_undone_where_they_were_not_before(user_client: Client, asset: Make) -> None:
    first, second, other = asset(1, tags=["red"]), asset(2), asset(3)
    assert "2 assets were tagged" in said(user_client, ids=ids(first, second), act="tag", tags="red, blue")
    assert names(first) == names(second) == ["blue", "red"]
    assert names(other) == []

    assert "Undone: 2 assets are as they were" in undo(user_client)
    assert (names(first), names(second)) == (["red"], [])


def test_tags_are_removed_and_undone(user_client: Client, asset: Make) -> None:
    first, second = asset(1, tags=["red", "blue"]), asset(2, tags=["blue"])
    assert "1 asset lost the tag" in said(user_client, ids=ids(first, second), act="untag", tags="RED")
    assert names(first) == ["blue"]
    undo(user_client)
    assert (names(first), names(second)) == (["blue", "red"], ["blue"])


def test_assets_are_moved_to_a_collection_and_back_to_where_each_was(
    user_client: Client, asset: Make, spring: Collection, user: User
) -> None:
    autumn = Collection.objects.create(name="Autumn", owner=user)
    first, second, there = asset(1, collection=autumn), asset(2), asset(3, collection=spring)
    told = said(user_client, ids=ids(first, second, there), act="move", collection=spring.pk)
    assert "2 assets were moved" in told
    assert spring.assets.count() == 3

    undo(user_client)
    assert (list(autumn.assets.all()), list(spring.assets.all())) == ([first], [there])


def test_assets_are_moved_to_a_new_collection_or_out_of_any(user_client: Client, asset: Make, user: User) -> None:
    made = asset(1)
    said(user_client, ids=ids(made), act="move", new_collection="Winter")
    assert Collection.objects.get(name="Winter", owner=user).assets.get() == made
    said(user_client, ids=ids(made), act="move", collection="")
    made.refresh_from_db()
    assert made.collection is None


def test_undoing_leaves_alone_what_was_moved_again_since(user_client: Client, asset: Make, spring: Collection) -> None:
    first, second = asset(1), asset(2)
    said(user_client, ids=ids(first, second), act="move", collection=spring.pk)
    act = Change.objects.values_list("act", flat=True).first()
    said(user_client, ids=ids(first), act="move", new_collection="Later")
    user_client.post(reverse("gallery:undo", args=[act]))

    first.refresh_from_db()
    second.refresh_from_db()
    assert (str(first.collection), second.collection) == ("Later", None)


def test_assets_are_moved_to_the_trash_and_undone(user_client: Client, asset: Make) -> None:
    first, second = asset(1), asset(2)
    page = said(user_client, ids=ids(first, second), act="delete")
    assert "2 assets are in the trash" in page
    assert "Undo" in page
    assert not Asset.objects.kept().exists()
    undo(user_client)
    assert Asset.objects.kept().count() == 2


def test_assets_are_restored_from_the_trash(user_client: Client, asset: Make) -> None:
    made = asset(1)
    said(user_client, ids=ids(made), act="delete")
    assert "1 asset is back" in said(user_client, ids=ids(made), act="restore")
    assert Asset.objects.kept().get() == made


def test_what_belongs_to_others_stays_and_is_counted(
    user_client: Client, staff_client: Client, asset: Make, stranger: User
) -> None:
    own, theirs, hers = asset(1), asset(2, owner=stranger), asset(3, owner=stranger)
    told = said(user_client, ids=ids(own, theirs, hers), act="tag", tags="red")
    assert "1 asset was tagged. 2 are not yours and stay" in told
    assert names(theirs) == []
    assert "3 assets are in the trash." in said(staff_client, ids=ids(own, theirs, hers), act="delete")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"ids": "", "act": "tag", "tags": "red"}, "Nothing is selected."),
        ({"ids": "x", "act": "tag", "tags": "red"}, "no ids of assets"),
        ({"ids": "1", "act": "tag", "tags": " , "}, "Name a tag."),
        ({"ids": "1", "act": "move", "collection": "99"}, "deleted meanwhile"),
        ({"ids": "1", "act": "burn"}, "not one of the available choices"),
        ({"ids": ",".join(map(str, range(MOST_AT_ONCE + 1))), "act": "delete"}, "At most 10,000 assets"),
    ],
)
def test_what_cannot_be_done_is_told(user_client: Client, asset: Make, given: dict[str, str], told: str) -> None:
    asset(1)
    assert told in said(user_client, **given)
    assert not Change.objects.exists()


def test_ids_are_taken_from_checks_as_well(user_client: Client, asset: Make) -> None:
    first, second = asset(1), asset(2)
    said(user_client, ids=[first.pk, second.pk], act="delete")
    assert not Asset.objects.kept().exists()


def test_nobody_but_members_acts(client: Client, asset: Make, settings) -> None:
    settings.PUBLIC_READ = True
    assert client.post(BULK, {"ids": ids(asset(1)), "act": "delete"}).status_code == 302
    assert Asset.objects.kept().exists()


def test_answer_goes_back_to_the_page_that_asked_and_to_no_other_site(user_client: Client, asset: Make) -> None:
    given = {"ids": ids(asset(1)), "act": "delete"}
    assert user_client.post(BULK, {**given, "next": "/gallery/?tag=red"})["Location"] == "/gallery/?tag=red"
    for elsewhere in ("https://example.org/", "//example.org"):
        assert user_client.post(BULK, {**given, "next": elsewhere})["Location"] == "/gallery/"


def test_script_gets_a_toast_and_is_told_what_changed(user_client: Client, asset: Make) -> None:
    made = asset(1)
    answer = user_client.post(BULK, {"ids": ids(made), "act": "delete"}, headers={"HX-Request": "true"})
    assert "1 asset is in the trash" in answer.content.decode()
    assert "<html" not in answer.content.decode()
    assert answer["HX-Trigger"] == f'{{"assets-changed": {{"act": "delete", "ids": [{made.pk}]}}}}'


def test_acts_take_as_many_queries_for_many(
    user_client: Client, asset: Make, spring: Collection, encoder, django_assert_max_num_queries
) -> None:
    many = [asset(seed, tags=["old"]) for seed in range(12)]
    for given in (
        {"act": "tag", "tags": "red, blue"},
        {"act": "untag", "tags": "old, blue"},
        {"act": "move", "collection": spring.pk},
        {"act": "delete"},
        {"act": "restore"},
    ):
        with django_assert_max_num_queries(30):
            user_client.post(BULK, {"ids": ids(*many), **given})
    assert Change.objects.count() == 5 * 12


def test_only_their_own_acts_are_undone(user_client: Client, stranger_client: Client, asset: Make) -> None:
    said(user_client, ids=ids(asset(1)), act="delete")
    assert "nothing left to undo" in undo(stranger_client)
    assert not Asset.objects.kept().exists()


def test_undoing_is_undone(user: User, asset: Make) -> None:
    made, act = asset(1, title="Old"), Act(user)
    changing.retitle(Asset.objects.all(), "New", act)
    undone = undoing.undo(act.id, user)
    made.refresh_from_db()
    assert made.title == "Old"
    undoing.undo(undone.id, user)
    made.refresh_from_db()
    assert made.title == "New"


# --- history ----------------------------------------------------------------------------------------------------


def test_handing_over_is_undone_unless_the_former_owner_is_gone(
    user: User, stranger: User, staff: User, asset: Make
) -> None:
    made = [asset(seed, owner=owner) for seed, owner in enumerate((user, user, stranger))]
    mine = Asset.objects.filter(pk__in=[each.pk for each in made])
    act = Act(staff)
    changing.hand_over(mine, staff, act)
    assert act.changed == {each.pk for each in made}
    stranger.delete()
    undoing.undo(act.id, staff)
    assert [each.owner for each in mine.order_by("pk")] == [user, user, staff]


def test_history_tells_who_changed_what(
    user_client: Client, stranger_client: Client, asset: Make, spring: Collection
) -> None:
    made = asset(1, title="Old", tags=["red"])
    given = {"title": "New", "collection": "Spring", "tags": "blue"}
    user_client.post(reverse("gallery:edit", args=[made.pk]), given)
    said(user_client, ids=ids(made), act="delete")
    said(user_client, ids=ids(made), act="restore")

    page = " ".join(stranger_client.get(reverse("gallery:history", args=[made.pk])).content.decode().split())
    told = [
        "Restored", "Moved to the trash", "Tag added: blue", "Tag removed: red", "the collection “Spring”",
        "“Old” to “New”", "Uploaded",
    ]  # fmt: skip
    assert [page.index(words) for words in told] == sorted(page.index(words) for words in told)
    assert "ann," in page


def test_what_stays_as_it_was_is_no_history(user_client: Client, asset: Make) -> None:
    made = asset(1, title="Old", tags=["red"])
    user_client.post(reverse("gallery:edit", args=[made.pk]), {"title": "Old", "collection": "", "tags": "Red"})
    assert not Change.objects.exists()


def test_changes_by_api_and_admin_are_history(api, staff_client: Client, asset: Make) -> None:
    made = asset(1, title="Old")
    api.patch(f"/api/v1/assets/{made.pk}/", {"title": "By API", "tags": ["x"]}, format="json")
    staff_client.post(
        reverse("admin:gallery_asset_change", args=[made.pk]),
        {"title": "By admin", "tags": [], "owner": made.owner_id},
    )
    assert set(Change.objects.values_list("user__username", "kind")) == {
        ("ann", "title"), ("ann", "tags"), ("cleo", "title"), ("cleo", "tags"),
    }  # fmt: skip


def test_history_of_the_trash_is_for_who_sees_it(user_client: Client, stranger_client: Client, asset: Make) -> None:
    made = asset(1)
    said(user_client, ids=ids(made), act="delete")
    address = reverse("gallery:history", args=[made.pk])
    assert (user_client.get(address).status_code, stranger_client.get(address).status_code) == (200, 404)


# --- as a ZIP file ----------------------------------------------------------------------------------------------


def unpacked(answer) -> dict[str, bytes]:
    pack = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    assert pack.testzip() is None
    return {name: pack.read(name) for name in pack.namelist()}


def test_originals_come_as_one_file_under_their_own_names(
    user_client: Client, user: User, picture: Callable[..., SimpleUploadedFile]
) -> None:
    stored = [store_upload(picture(seed, name="Shoe.jpg"), user).asset for seed in (1, 2, 3)]
    stored.append(store_upload(picture(4, name="shoe.JPG"), user).asset)
    answer = user_client.post(ZIP, {"ids": ids(*stored)})

    files = unpacked(answer)
    assert list(files) == ["shoe.JPG", "Shoe (2).jpg", "Shoe (3).jpg", "Shoe (4).jpg"]
    assert set(files.values()) == {picture(seed).read() for seed in (1, 2, 3, 4)}
    assert answer.streaming
    assert answer["Content-Type"] == "application/zip"
    assert 'filename="AssetSearch ' in answer["Content-Disposition"]


def test_broken_original_is_left_out_and_named(user_client: Client, asset: Make) -> None:
    whole, broken = asset(1), asset(2)
    broken.original.storage.delete(broken.original.name)
    files = unpacked(user_client.get(ZIP, {"ids": ids(whole, broken)}))
    assert set(files) == {"picture-1.jpeg", "Left out.txt"}
    assert b"picture-2.jpeg: the file is missing" in files["Left out.txt"]


def test_original_that_breaks_on_the_way_is_named(user_client: Client, asset: Make, monkeypatch) -> None:
    class Torn(io.BytesIO):
        def read(self, size=-1):
            if self.tell():
                raise OSError("torn")
            return super().read(10)

    asset(1), asset(2)
    monkeypatch.setattr("django.db.models.fields.files.FieldFile.open", lambda self, mode: Torn(b"0123456789ab"))
    files = unpacked(user_client.get(ZIP, {"ids": ids(*Asset.objects.all())}))
    assert files["picture-1.jpeg"] == b"0123456789"
    assert files["Left out.txt"].count(b"cut off") == 2


def test_originals_of_what_is_not_seen_stay_out(user_client: Client, stranger: User, asset: Make) -> None:
    theirs, gone = asset(1, owner=stranger), asset(2, owner=stranger)
    Asset.objects.filter(pk=gone.pk).update(trashed="2026-01-01T00:00Z", delete_after="2036-01-01T00:00Z")
    assert set(unpacked(user_client.get(ZIP, {"ids": ids(theirs, gone)}))) == {"picture-1.jpeg"}


def test_originals_are_for_whom_the_settings_let_have_them(client: Client, asset: Make, settings) -> None:
    settings.PUBLIC_READ, made = True, asset(1)
    assert client.get(ZIP, {"ids": ids(made)}).status_code == 302
    settings.PUBLIC_ORIGINALS = True
    assert set(unpacked(client.get(ZIP, {"ids": ids(made)}))) == {"picture-1.jpeg"}


def test_pack_is_never_whole_in_memory(asset: Make, monkeypatch) -> None:
    opened, closed = [], []

    class Long(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 1 << 20))

        def close(self):
            closed.append(self)
            super().close()

    def open_long(self, mode):
        opened.append(Long(bytes(3 << 20)))
        return opened[-1]

    for seed in range(3):
        asset(seed)
    monkeypatch.setattr("django.db.models.fields.files.FieldFile.open", open_long)
    for chunk in packing.packed(Asset.objects.all()):
        assert len(chunk) <= 1 << 20
        assert len(opened) - len(closed) <= 1
    assert len(closed) == 3


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (["a.jpg", "A.jpg", "a (2).jpg"], ["a.jpg", "A (2).jpg", "a (2) (2).jpg"]),
        (["../x:y?.png", "...", "no suffix", "no suffix"], ["_x_y_.png", "untitled", "no suffix", "no suffix (2)"]),
    ],
)
def test_names_are_distinct_and_fit_for_every_system(given: list[str], made: list[str]) -> None:
    assert packing.distinct(given) == made


def test_admin_lists_changes_and_changes_none(user_client: Client, staff_client: Client, asset: Make) -> None:
    made = asset(1, title="Red shoe")
    said(user_client, ids=ids(made), act="delete")
    page = staff_client.get(reverse("admin:gallery_change_changelist")).content.decode()
    assert "Red shoe" in page
    assert staff_client.get(reverse("admin:gallery_change_add")).status_code == 403
