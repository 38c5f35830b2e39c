from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from gallery import tagging, undoing
from gallery.history import Act
from gallery.models import Asset, Change, Tag, TagChange
from search.models import Encoder, Rule

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
MOST_QUERIES = 12
MakeAsset = Callable[..., Asset]


@pytest.fixture(autouse=True)
def _no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.tasks.queue_asset", lambda asset_id: None)


def address(name: str, tag: Tag) -> str:
    return reverse(f"gallery:{name}", args=[tag.pk])


def names(asset: Asset) -> list[str]:
    """In alphabetical order."""
    return [tag.name for tag in asset.tags.all()]


# --- all of them ----------------------------------------------------------------------------------------------


def test_tags_shows_those_in_use_with_their_counts(
    user_client: Client, asset: MakeAsset, encoder: Encoder, django_assert_max_num_queries
) -> None:
    asset(1, tags=["Red", "a"]), asset(2, tags=["red"])
    Tag.objects.create(name="unused")
    with django_assert_max_num_queries(MOST_QUERIES):
        response = user_client.get(reverse("gallery:tags"))

    assert [(tag.name, count) for tag, count, _ in response.context["rows"]] == [("a", 1), ("Red", 2)]


def test_tags_are_found_by_part_of_their_name(user_client: Client, asset: MakeAsset) -> None:
    asset(1, tags=["Red", "blue"])
    found = user_client.get(reverse("gallery:tags"), {"q": "ED"}, headers=HTMX)

    assert found.templates[0].name == "gallery/_tags.html"
    assert [tag.name for tag, *_ in found.context["rows"]] == ["Red"]
    assert "No tag holds “x%”".encode() in user_client.get(reverse("gallery:tags"), {"q": "x%"}).content


def test_tag_names_begin_with_the_text_or_hold_it_the_most_used_first(user_client: Client, asset: MakeAsset) -> None:
    asset(1, tags=["redwood", "Red", "infrared", "blue"]), asset(2, tags=["red"])
    Tag.objects.create(name="reddish")

    assert user_client.get(reverse("gallery:tag_names"), {"q": " RE"}).json() == ["Red", "redwood", "infrared"]
    assert user_client.get(reverse("gallery:tag_names")).json() == ["Red", "blue", "infrared", "redwood"]


@pytest.mark.parametrize("text", ["x" * 5000, "%", "_", "\\"])
def test_tag_names_find_nothing_for_what_no_name_holds(user_client: Client, asset: MakeAsset, text: str) -> None:
    asset(1, tags=["red"])

    assert user_client.get(reverse("gallery:tag_names"), {"q": text}).json() == []


def test_tag_names_are_few(user_client: Client, asset: MakeAsset, django_assert_max_num_queries) -> None:
    asset(1, tags=[f"tag {number}" for number in range(50)])
    with django_assert_max_num_queries(4):
        assert len(user_client.get(reverse("gallery:tag_names"), {"q": "tag"}).json()) == 20


@pytest.mark.parametrize("page", ["/gallery/", "/upload/", "/import/", "/", "/assets/{}/", "/assets/{}/edit/"])
def test_pages_ask_for_names_instead_of_holding_them(user_client: Client, asset: MakeAsset, page: str) -> None:
    made, _ = asset(1), asset(2, tags=["of-another"])
    held = user_client.get(page.format(made.pk)).content.decode()

    assert f'data-tag-names="{reverse("gallery:tag_names")}"' in held
    assert "of-another" not in held


# --- who may change them --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["edit_tag", "merge_tag", "delete_tag"])
def test_tag_that_others_use_is_changed_by_staff_alone(
    user_client: Client, staff_client: Client, stranger: User, asset: MakeAsset, name: str
) -> None:
    asset(1, tags=["red"]), asset(2, tags=["red"], owner=stranger)
    red = Tag.objects.get()

    assert user_client.get(address(name, red)).status_code == 403
    assert user_client.post(address(name, red)).status_code == 403
    assert staff_client.get(address(name, red)).status_code == 200


def test_tags_offers_a_change_to_who_may_make_it(user_client: Client, stranger: User, asset: MakeAsset) -> None:
    asset(1, tags=["mine"]), asset(2, tags=["theirs"], owner=stranger)
    page = user_client.get(reverse("gallery:tags")).content.decode()

    assert address("edit_tag", Tag.objects.get(name="mine")) in page
    assert address("edit_tag", Tag.objects.get(name="theirs")) not in page


# --- changing one ---------------------------------------------------------------------------------------------


def test_tag_is_renamed_even_to_another_case(user_client: Client, asset: MakeAsset) -> None:
    stored = asset(1, tags=["red"])
    user_client.post(address("edit_tag", Tag.objects.get()), {"name": "  RED   shoe "})
    assert names(stored) == ["RED shoe"]

    user_client.post(address("edit_tag", Tag.objects.get()), {"name": "red Shoe"})
    assert list(Tag.objects.values_list("name", flat=True)) == ["red Shoe"]


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "red, blue"])
def test_tag_is_not_renamed_to_what_is_no_name(user_client: Client, asset: MakeAsset, name: str) -> None:
    stored = asset(1, tags=["red"])

    assert user_client.post(address("edit_tag", Tag.objects.get()), {"name": name}).status_code == 400
    assert names(stored) == ["red"]


def test_tag_renamed_to_another_is_asked_about_first(user_client: Client, asset: MakeAsset) -> None:
    stored = asset(1, tags=["red", "Crimson"])
    red = Tag.objects.get(name="red")
    asked = user_client.post(address("edit_tag", red), {"name": "crimson"})

    assert "Merge “red” into “Crimson”?" in asked.content.decode()
    assert names(stored) == ["Crimson", "red"]


def test_tag_is_merged_after_asking_and_each_asset_keeps_one(user_client: Client, asset: MakeAsset) -> None:
    both, one, other = asset(1, tags=["red", "crimson"]), asset(2, tags=["red"]), asset(3, tags=["crimson"])
    red = Tag.objects.get(name="red")
    rule = Rule.objects.create(tag=red, action=Rule.Action.PIN)
    asked = user_client.post(address("merge_tag", red), {"into": " CRIMSON"})
    assert "2 assets that carry “red”" in asked.content.decode()
    assert Tag.objects.count() == 2

    user_client.post(address("merge_tag", red), {"into": "crimson", "sure": "yes"})
    assert [names(stored) for stored in (both, one, other)] == [["crimson"]] * 3
    assert Tag.objects.get().name == "crimson"
    rule.refresh_from_db()
    assert str(rule.tag) == "crimson"


@pytest.mark.parametrize("into", ["", "red", "unknown", "x" * 101])
def test_tag_is_merged_into_another_alone(user_client: Client, asset: MakeAsset, into: str) -> None:
    asset(1, tags=["red"])
    given = {"into": into, "sure": "yes"}

    assert user_client.post(address("merge_tag", Tag.objects.get()), given).status_code == 400
    assert Tag.objects.get().name == "red"


def test_tag_is_deleted_after_asking_and_its_assets_stay(user_client: Client, asset: MakeAsset) -> None:
    stored = asset(1, tags=["red"])
    red = Tag.objects.get()
    assert b"1 asset carries it." in user_client.get(address("delete_tag", red)).content

    user_client.post(address("delete_tag", red))
    assert not Tag.objects.exists()
    assert Asset.objects.get() == stored


# --- told and taken back --------------------------------------------------------------------------------------


def rename(client: Client, tag: str, name: str) -> str:
    return client.post(address("edit_tag", Tag.objects.get(name=tag)), {"name": name}, follow=True).content.decode()


def merge(client: Client, tag: str, into: str) -> str:
    given = {"into": into, "sure": "yes"}
    return client.post(address("merge_tag", Tag.objects.get(name=tag)), given, follow=True).content.decode()


def delete(client: Client, tag: str) -> str:
    return client.post(address("delete_tag", Tag.objects.get(name=tag)), follow=True).content.decode()


def undo(client: Client, done: TagChange | None = None) -> str:
    """What was done to a tag last, or before."""
    act = (done or TagChange.objects.latest("at")).act
    return client.post(reverse("gallery:undo", args=[act]), follow=True).content.decode()


def throw_away(asset: Asset) -> None:
    Asset.objects.filter(pk=asset.pk).update(trashed="2026-01-01T00:00Z", delete_after="2036-01-01T00:00Z")


def changes_of(asset: Asset) -> list[tuple[list[str], list[str]]]:
    return list(asset.changes.order_by("pk").values_list("before", "after"))


def test_history_of_assets_tells_what_became_of_a_tag(
    user_client: Client, stranger_client: Client, asset: MakeAsset
) -> None:
    one, both = asset(1, tags=["shoe"]), asset(2, tags=["Boot", "shoe"])
    rename(user_client, "shoe", "sandal")
    merge(user_client, "sandal", "boot")
    delete(user_client, "Boot")
    assert changes_of(one) == [(["shoe"], ["sandal"]), (["sandal"], ["Boot"]), (["Boot"], [])]
    assert changes_of(both) == [(["shoe"], ["sandal"]), (["sandal"], []), (["Boot"], [])]

    page = " ".join(stranger_client.get(reverse("gallery:history", args=[one.pk])).content.decode().split())
    assert "Tag added: sandal" in page
    assert "Tag removed: shoe" in page
    assert page.count("ann,") == 4  # with the upload


def test_renaming_is_undone(user_client: Client, asset: MakeAsset) -> None:
    one, both, trashed = asset(1, tags=["shoe"]), asset(2, tags=["red", "shoe"]), asset(3, tags=["shoe"])
    throw_away(trashed)
    page = rename(user_client, "shoe", "boot")
    assert "“shoe” is “boot” now." in page
    assert reverse("gallery:undo", args=[TagChange.objects.get().act]) in page
    assert (names(one), names(both), names(trashed)) == (["boot"], ["boot", "red"], ["boot"])

    assert "Undone: 3 assets are as they were." in undo(user_client)
    assert (names(one), names(both), names(trashed)) == (["shoe"], ["red", "shoe"], ["shoe"])
    assert set(Tag.objects.values_list("name", flat=True)) == {"red", "shoe"}
    assert changes_of(one)[-1] == (["boot"], ["shoe"])


def test_renaming_to_other_letters_is_undone(user_client: Client, asset: MakeAsset) -> None:
    stored = asset(1, tags=["shoe"])
    rename(user_client, "shoe", "SHOE")
    assert names(stored) == ["SHOE"]
    undo(user_client)
    assert names(stored) == ["shoe"]


def test_name_that_stays_is_no_change(user_client: Client, asset: MakeAsset) -> None:
    asset(1, tags=["shoe"])
    assert "Undo" not in rename(user_client, "shoe", " shoe ")
    assert not TagChange.objects.exists()


def test_undoing_a_renaming_leaves_alone_what_was_tagged_meanwhile(user_client: Client, asset: MakeAsset) -> None:
    renamed, untagged = asset(1, tags=["shoe"]), asset(2, tags=["shoe"])
    rule = Rule.objects.create(tag=Tag.objects.get(), action=Rule.Action.PIN)
    rename(user_client, "shoe", "boot")
    tagged, again = asset(3, tags=["boot"]), asset(4, tags=["shoe"])
    later = Rule.objects.create(tag=Tag.objects.get(name="boot"), action=Rule.Action.HIDE)
    untagged.tags.clear()

    assert "Undone: 1 asset" in undo(user_client)
    assert [names(stored) for stored in (renamed, untagged, tagged, again)] == [["shoe"], [], ["boot"], ["shoe"]]
    rule.refresh_from_db(), later.refresh_from_db()
    assert (str(rule.tag), str(later.tag)) == ("shoe", "boot")


def test_merging_is_undone(user_client: Client, asset: MakeAsset) -> None:
    before = [["boot", "shoe"], ["shoe"], ["boot"], ["red", "shoe"]]
    stored = [asset(number, tags=tags) for number, tags in enumerate(before)]
    throw_away(stored[3])
    rules = [
        Rule.objects.create(tag=tag, action=Rule.Action.PIN) for tag in Tag.objects.filter(name__in=["boot", "shoe"])
    ]
    page = merge(user_client, "shoe", "boot")
    assert reverse("gallery:undo", args=[TagChange.objects.get().act]) in page
    assert [names(one) for one in stored] == [["boot"], ["boot"], ["boot"], ["boot", "red"]]

    assert "Undone: 3 assets are as they were." in undo(user_client)
    assert [names(one) for one in stored] == before
    for rule in rules:
        rule.refresh_from_db()
    assert [str(rule.tag) for rule in rules] == ["boot", "shoe"]


def test_undoing_a_merging_leaves_alone_what_was_tagged_meanwhile(user_client: Client, asset: MakeAsset) -> None:
    merged, untagged = asset(1, tags=["shoe"]), asset(2, tags=["shoe"])
    merge_of = asset(3, tags=["boot"])
    merge(user_client, "shoe", "boot")
    tagged, doubled = asset(4, tags=["boot"]), merged
    doubled.tags.add(Tag.objects.create(name="Shoe"))  # a new one
    untagged.tags.clear()
    undo(user_client)
    assert [names(one) for one in (merge_of, tagged, doubled, untagged)] == [["boot"], ["boot"], ["Shoe"], []]


def test_deletion_is_undone_with_the_rules_that_went_along(user_client: Client, asset: MakeAsset) -> None:
    stored, trashed = asset(1, tags=["Red", "Shoe"]), asset(2, tags=["Shoe"])
    throw_away(trashed)
    rule = Rule.objects.create(tag=Tag.objects.get(name="Shoe"), action=Rule.Action.BOOST, amount=0.25, note="Sale")
    page = delete(user_client, "Shoe")
    assert reverse("gallery:undo", args=[TagChange.objects.get().act]) in page
    assert (names(stored), names(trashed), Rule.objects.count()) == (["Red"], [], 0)

    assert "Undone: 2 assets are as they were." in undo(user_client)
    assert (names(stored), names(trashed)) == (["Red", "Shoe"], ["Shoe"])
    back = Rule.objects.get()
    assert (back.pk, str(back.tag), back.amount, back.note) == (rule.pk, "Shoe", 0.25, "Sale")
    assert abs(back.created - rule.created).total_seconds() < 0.01  # to a millisecond


def test_deletion_is_undone_into_a_tag_that_was_made_meanwhile(user_client: Client, asset: MakeAsset) -> None:
    first, second = asset(1, tags=["shoe"]), asset(2, tags=["shoe"])
    delete(user_client, "shoe")
    third = asset(3, tags=["SHOE"])
    second.tags.add(Tag.objects.get())
    assert "Undone: 1 asset is as it was." in undo(user_client)
    assert [names(stored) for stored in (first, second, third)] == [["SHOE"]] * 3


@pytest.mark.parametrize("done", [delete, lambda client, tag: merge(client, tag, "boot")])
def test_what_was_done_to_a_tag_is_undone_once(user_client: Client, asset: MakeAsset, done: Callable[..., str]) -> None:
    stored = asset(1, tags=["shoe", "boot"])
    done(user_client, "shoe")
    undo(user_client)
    stored.tags.set(Tag.objects.filter(name="boot"))
    assert "nothing left to undo" in undo(user_client)
    assert names(stored) == ["boot"]


def test_what_was_renamed_again_is_not_undone(user_client: Client, asset: MakeAsset) -> None:
    stored = asset(1, tags=["shoe"])
    rename(user_client, "shoe", "boot")
    rename(user_client, "boot", "sandal")
    assert "nothing left to undo" in undo(user_client, TagChange.objects.earliest("at"))
    assert list(Tag.objects.values_list("name", flat=True)) == names(stored) == ["sandal"]
    undo(user_client)
    undo(user_client, TagChange.objects.earliest("at"))  # now it can be
    assert names(stored) == ["shoe"]


def test_what_others_did_to_a_tag_and_have_by_now_stays(
    user_client: Client, stranger_client: Client, stranger: User, asset: MakeAsset
) -> None:
    own, given_away = asset(1, tags=["shoe"]), asset(2, tags=["shoe"])
    delete(user_client, "shoe")
    assert "nothing left to undo" in undo(stranger_client)
    Asset.objects.filter(pk=given_away.pk).update(owner=stranger)
    assert "Undone: 1 asset is as it was." in undo(user_client)
    assert (names(own), names(given_away)) == (["shoe"], [])


@pytest.mark.parametrize("done", ["rename", "merge", "delete"])
def test_any_number_of_assets_takes_as_many_queries(user: User, asset: MakeAsset, done: str) -> None:
    some = [asset(number) for number in range(12)]
    counts = []
    for count in (3, 12):
        tags = [Tag.objects.create(name=f"{name} {count}") for name in ("shoe", "boot")]
        for number, stored in enumerate(some[:count]):
            stored.tags.set(tags if number % 2 else tags[:1])
        act = Act(user)
        others = {"rename": [f"new {count}"], "merge": [tags[1].pk], "delete": []}[done]
        with CaptureQueriesContext(connection) as asked:
            getattr(tagging, done)(tags[0].pk, *others, act)
            undone = undoing.undo(act.id, user)
        assert len(undone.changed) == count
        counts.append(len(asked))
    assert counts[0] == counts[1]


def test_changes_of_tags_by_the_admin_are_history(staff_client: Client, asset: MakeAsset) -> None:
    stored = asset(1, tags=["shoe", "red"])
    shoe, red = Tag.objects.get(name="shoe"), Tag.objects.get(name="red")
    staff_client.post(reverse("admin:gallery_tag_change", args=[shoe.pk]), {"name": "boot"})
    staff_client.post(reverse("admin:gallery_tag_delete", args=[shoe.pk]), {"post": "yes"})
    selected = {"action": "delete_selected", "_selected_action": [red.pk], "post": "yes"}
    staff_client.post(reverse("admin:gallery_tag_changelist"), selected)
    staff_client.post(reverse("admin:gallery_tag_add"), {"name": "new"})
    assert changes_of(stored) == [(["shoe"], ["boot"]), (["boot"], []), (["red"], [])]
    assert Change.objects.filter(user__username="cleo").count() == 3
    assert Tag.objects.get().name == "new"
