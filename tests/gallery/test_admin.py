import re

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ, Schedule, Task
from django_q.tasks import async_task
from rest_framework.authtoken.models import Token

from gallery import changing
from gallery.admin import _MOST_DELETED
from gallery.history import Act
from gallery.import_models import Import
from gallery.models import Asset, Collection, Tag
from tests.conftest import main_of

ASSETS = "/admin/gallery/asset/"
COLLECTIONS = "/admin/gallery/collection/"
TAGS = "/admin/gallery/tag/"


def make_asset(number, owner, **fields):
    """A row alone, without files: the admin shows pictures by their addresses."""
    return Asset.objects.create(
        **{
            "owner": owner,
            "title": f"Asset {number}",
            "filename": f"{number}.jpg",
            "sha256": f"{number:064x}",
            "format": "JPEG",
            "width": 400,
            "height": 200,
            "size_bytes": 1000,
            "original": f"originals/{number}",
            "preview": f"renditions/{number}-preview.jpg",
            "thumbnail": f"renditions/{number}-thumbnail.jpg",
            **fields,
        }
    )


def make_full_asset(number):
    """With an owner, a collection and tags of its own, so that a query a row would show."""
    owner = User.objects.create_user(f"owner-{number}")
    collection = Collection.objects.create(name=f"Collection {number}", owner=owner)
    asset = make_asset(number, owner, collection=collection)
    asset.tags.set([Tag.objects.create(name=f"tag-{number}"), Tag.objects.create(name=f"other-{number}")])
    return asset


def make_import(number):
    owner = User.objects.create_user(f"owner-{number}")
    Import.objects.create(owner=owner, kind=Import.Kind.URLS, name=f"import-{number}")


def make_task(number, *, success):
    now = timezone.now()
    return Task.objects.create(
        id=f"{number}-{success}", name=f"task-{number}", func="search.tasks.sweep", started=now, stopped=now,
        success=success, result="no", cluster="bulk",
    )  # fmt: skip


def make_schedule(number):
    task = make_task(number, success=bool(number % 2))
    Schedule.objects.create(name=f"schedule-{number}", func="search.tasks.sweep", task=task.pk)


def make_change(number):
    asset = make_full_asset(number)
    changing.retitle(Asset.objects.filter(pk=asset.pk), "New", Act(asset.owner))


LISTS = {
    ASSETS: make_full_asset,
    COLLECTIONS: make_full_asset,
    TAGS: make_full_asset,
    "/admin/gallery/import/": make_import,
    "/admin/gallery/change/": make_change,
    "/admin/auth/user/": lambda number: User.objects.create_user(f"user-{number}"),
    "/admin/auth/group/": lambda number: Group.objects.create(name=f"group-{number}"),
    "/admin/authtoken/tokenproxy/": lambda number: Token.objects.create(
        user=User.objects.create_user(f"user-{number}")
    ),
    "/admin/django_q/success/": lambda number: make_task(number, success=True),
    "/admin/django_q/failure/": lambda number: make_task(number, success=False),
    "/admin/django_q/schedule/": make_schedule,
    "/admin/django_q/ormq/": lambda number: async_task("search.tasks.embed_asset", number, cluster="bulk"),
}


def queries_of(client, path):
    with CaptureQueriesContext(connection) as captured:
        response = client.get(path)
    assert response.status_code == 200
    return [query["sql"] for query in captured.captured_queries], len(response.context["cl"].result_list)


def run_action(client, action, assets, **fields):
    return client.post(
        ASSETS,
        {"action": action, ACTION_CHECKBOX_NAME: [asset.pk for asset in assets], **fields},
        follow=True,
    )


@pytest.fixture
def clerk_client(db):
    """Staff that may look at assets, and no more."""
    clerk = User.objects.create_user("dan", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=["view_asset", "view_collection"]))
    client = Client()
    client.force_login(clerk)
    return client


@pytest.mark.parametrize("path", LISTS)
def test_list_takes_as_many_queries_for_30_rows_as_for_3(staff_client, path):
    for number in range(3):
        LISTS[path](number)
    staff_client.get(path)  # content types and the like are cached by the first page
    few, _ = queries_of(staff_client, path)
    for number in range(3, 30):
        LISTS[path](number)
    many, rows = queries_of(staff_client, path)
    assert rows >= 30
    assert len(many) == len(few), many


@pytest.mark.parametrize("path", LISTS)
def test_list_is_closed_to_people_who_are_not_staff(stranger_client, path):
    response = stranger_client.get(path)
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


def test_asset_list_shows_pictures_in_their_proportions(staff_client, staff):
    asset = make_asset(1, staff, title="Red shoe")
    page = staff_client.get(ASSETS).content.decode()
    assert f'<img src="/assets/{asset.pk}/thumbnail.jpg" width="72" height="36"' in page
    assert "Red shoe" in page
    assert "AssetSearch" in page


def test_asset_list_never_counts_all_rows_besides_those_found(staff_client, staff):
    for number in range(3):
        make_asset(number, staff)
    queries, _ = queries_of(staff_client, f"{ASSETS}?status__exact=ready")
    counts = [query for query in queries if "COUNT(" in query]
    assert len(counts) == 1
    assert "status" in counts[0]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=shoe", {"Red shoe"}),
        ("q=sh", {"Red shoe"}),
        ("q=blue-boot", {"Boot"}),
        ("q=leather", {"Boot"}),
        ("q=red leather", set()),
        ("q=%22';--", set()),
        ("status__exact=failed", {"Boot"}),
        ("format=PNG", {"Boot"}),
        ("format=nonsense", set()),
        ("collection__isnull=True", {"Boot"}),
    ],
)
def test_asset_list_finds_and_filters(staff_client, staff, query, found):
    shoes = Collection.objects.create(name="Shoes", owner=staff)
    make_asset(1, staff, title="Red shoe", collection=shoes)
    boot = make_asset(2, staff, title="Boot", filename="blue_boot.png", format="PNG", status="failed")
    boot.tags.add(Tag.objects.create(name="leather"))
    listed = staff_client.get(f"{ASSETS}?{query}").context["cl"].result_list
    assert {asset.title for asset in listed} == found


def test_collection_and_tag_lists_count_and_link_their_assets(staff_client):
    asset = make_full_asset(1)
    Tag.objects.create(name="unused")
    tag = asset.tags.get(name="tag-1")
    collections = staff_client.get(COLLECTIONS).content.decode()
    assert f'<a href="{ASSETS}?collection__id__exact={asset.collection_id}">1</a>' in collections
    tags = staff_client.get(TAGS).content.decode()
    assert f'<a href="{ASSETS}?tags__id__exact={tag.pk}">1</a>' in tags
    assert ">0</a>" in tags
    linked = staff_client.get(f"{ASSETS}?tags__id__exact={tag.pk}").context["cl"].result_list
    assert list(linked) == [asset]


def test_asset_cannot_be_added_and_the_list_links_to_the_upload(staff_client):
    assert staff_client.get(f"{ASSETS}add/").status_code == 403
    assert 'href="/upload/"' in staff_client.get(ASSETS).content.decode()


def test_asset_form_changes_title_collection_and_tags_and_no_fact(staff_client, staff):
    asset = make_asset(1, staff)
    shoes, red = Collection.objects.create(name="Shoes", owner=staff), Tag.objects.create(name="red")
    fields = {"title": "New", "collection": shoes.pk, "tags": [red.pk], "owner": staff.pk}
    facts = {"status": "ready", "sha256": "f" * 64, "width": 1, "filename": "other.jpg", "format": "PNG"}
    assert staff_client.post(f"{ASSETS}{asset.pk}/change/", fields | facts).status_code == 302
    changed = Asset.objects.get()
    assert (changed.title, changed.collection, list(changed.tags.all())) == ("New", shoes, [red])
    for fact in facts:
        assert getattr(changed, fact) == getattr(asset, fact)


def test_asset_form_shows_the_picture_and_its_original(staff_client, staff):
    asset = make_asset(1, staff)
    page = staff_client.get(f"{ASSETS}{asset.pk}/change/").content.decode()
    assert f'<img src="/assets/{asset.pk}/preview.jpg" width="480" height="240"' in page
    assert f'href="/assets/{asset.pk}/download/"' in page


def test_adding_to_a_collection_asks_which_and_then_moves_the_selected(staff_client, staff):
    first, second, other = (make_asset(number, staff) for number in range(3))
    shoes = Collection.objects.create(name="Shoes", owner=staff)
    asked = run_action(staff_client, "add_to_collection", [first, second])
    assert "2 assets will be in the collection" in asked.content.decode()
    assert not Asset.objects.filter(collection=shoes).exists()
    fields = {"confirmed": "yes", "collection": shoes.pk, "select_across": "0"}
    done = run_action(staff_client, "add_to_collection", [first, second], **fields)
    assert "2 assets are in" in done.content.decode()
    assert set(Asset.objects.filter(collection=shoes)) == {first, second}
    assert Asset.objects.get(pk=other.pk).collection is None


def test_adding_to_a_collection_takes_all_that_a_filter_shows(staff_client, staff):
    shoes = Collection.objects.create(name="Shoes", owner=staff)
    ready = [make_asset(number, staff, status="ready") for number in range(3)]
    make_asset(9, staff, status="failed")
    data = {"action": "add_to_collection", ACTION_CHECKBOX_NAME: ready[0].pk, "select_across": "1"}
    asked = staff_client.post(f"{ASSETS}?status__exact=ready", data).content.decode()
    assert "3 assets will be in the collection" in asked
    assert '<input type="hidden" name="select_across" value="1">' in asked
    staff_client.post(f"{ASSETS}?status__exact=ready", {**data, "confirmed": "yes", "collection": shoes.pk})
    assert set(Asset.objects.filter(collection=shoes)) == set(ready)


def test_adding_to_a_new_collection_makes_it(staff_client, staff):
    asset = make_asset(1, staff)
    run_action(staff_client, "add_to_collection", [asset], confirmed="yes", new_collection="Hats")
    assert (Asset.objects.get().collection.name, Collection.objects.get().owner) == ("Hats", staff)
    hats = {"collection": Collection.objects.get().pk, "new_collection": "Shoes"}
    again = run_action(staff_client, "add_to_collection", [asset], confirmed="yes", **hats)
    assert "Choose a collection, or name a new one." in again.content.decode()
    assert Collection.objects.count() == 1


def test_history_of_an_asset_tells_what_was_changed_outside_the_admin_too(staff_client, user, api):
    one, other = (make_asset(number, user) for number in range(2))
    for asset, title in ((one, "Changed from outside"), (one, "Its title now"), (other, "Of another")):
        assert api.patch(f"/api/v1/assets/{asset.pk}/", {"title": title}).status_code == 200
    told = main_of(staff_client.get(f"{ASSETS}{one.pk}/history/", follow=True))
    assert "Changed from outside" in told
    assert "Of another" not in told


@pytest.mark.parametrize("collection", ["", "999999"])
def test_adding_to_a_collection_that_is_none_asks_again(staff_client, staff, collection):
    asset = make_asset(1, staff)
    again = run_action(staff_client, "add_to_collection", [asset], confirmed="yes", collection=collection)
    assert "errorlist" in again.content.decode()
    assert Asset.objects.get().collection is None


def test_handing_over_asks_to_whom_and_is_told_in_the_history(staff_client, staff, user):
    first, second, other = (make_asset(number, staff) for number in range(3))
    asked = run_action(staff_client, "hand_over", [first, second])
    assert "2 assets will belong to the user you choose" in asked.content.decode()
    assert not Asset.objects.filter(owner=user).exists()
    fields = {"confirmed": "yes", "owner": user.pk, "select_across": "0"}
    done = run_action(staff_client, "hand_over", [first, second], **fields)
    assert f"2 assets belong to {user} now." in done.content.decode()
    assert set(Asset.objects.filter(owner=user)) == {first, second}
    assert Asset.objects.get(pk=other.pk).owner == staff
    history = staff_client.get(reverse("gallery:history", args=[first.pk])).content.decode()
    assert f"Owner changed from {staff} to {user}" in history
    for path in ("gallery:history", "gallery:asset"):
        page = staff_client.get(reverse(path, args=[first.pk])).content.decode()
        uploaded = page.rpartition("Uploaded")[2][:600].partition("<dt>")[0]
        assert staff.username in uploaded
        assert user.username not in uploaded
    assert re.search(rf"<dt>Owner</dt>\s*<dd>\s*{user}\s*</dd>", page)
    undo = re.search(r'action="(/acts/[^"]+)"', done.content.decode())[1]
    undone = staff_client.post(undo, {"next": ASSETS}, follow=True)
    assert "Undone: 2 assets are as they were." in undone.content.decode()
    assert set(Asset.objects.filter(owner=staff)) == {first, second, other}


@pytest.mark.parametrize("lacks", ["owner", "active"])
def test_handing_over_to_nobody_asks_again(staff_client, staff, user, lacks):
    asset = make_asset(1, staff)
    User.objects.filter(pk=user.pk).update(is_active=False)
    owner = user.pk if lacks == "active" else ""
    again = run_action(staff_client, "hand_over", [asset], confirmed="yes", owner=owner)
    told = {"owner": "This field is required.", "active": "Nobody can sign in as this user any more."}
    assert told[lacks] in again.content.decode()
    assert Asset.objects.get().owner == staff


def test_another_owner_given_in_the_form_is_history(staff_client, staff, user):
    asset = make_asset(1, staff)
    staff_client.post(f"{ASSETS}{asset.pk}/change/", {"title": asset.title, "owner": user.pk})
    assert Asset.objects.get().owner == user
    [change] = asset.changes.all()
    assert (change.kind, change.before["name"], change.after["name"]) == ("owner", staff.username, user.username)


def test_deleting_asks_first_and_then_removes_rows_and_files(staff_client, asset, django_capture_on_commit_callbacks):
    doomed, kept = asset(1), asset(2)
    run_action(staff_client, "delete_selected", [doomed])
    assert Asset.objects.count() == 2
    with django_capture_on_commit_callbacks(execute=True):
        run_action(staff_client, "delete_selected", [doomed], post="yes")
    assert list(Asset.objects.all()) == [kept]
    assert not doomed.original.storage.exists(doomed.original.name)
    assert kept.original.storage.exists(kept.original.name)


def test_deleting_more_than_the_confirmation_can_name_says_so(staff_client, staff):
    first = make_asset(0, staff)
    Asset.objects.bulk_create(
        Asset(owner=staff, sha256=f"{number:064x}", width=1, height=1, size_bytes=1)
        for number in range(1, _MOST_DELETED + 1)
    )
    page = run_action(staff_client, "delete_selected", [first], select_across="1", post="yes")
    assert "Nothing was deleted" in page.content.decode()
    assert Asset.objects.count() == _MOST_DELETED + 1


def test_staff_without_permission_look_and_change_nothing(clerk_client, staff):
    asset = make_asset(1, staff)
    shoes = Collection.objects.create(name="Shoes", owner=staff)
    page = clerk_client.get(ASSETS).content.decode()
    assert asset.title in page
    for action in ("add_to_collection", "hand_over", "delete_selected", "embed_again"):
        assert f'value="{action}"' not in page
        fields = {"collection": shoes.pk, "owner": User.objects.get(username="dan").pk}
        run_action(clerk_client, action, [asset], post="yes", confirmed="yes", **fields)
    assert clerk_client.post(f"{ASSETS}{asset.pk}/change/", {"title": "New"}).status_code == 403
    assert clerk_client.post(f"{ASSETS}{asset.pk}/delete/", {"post": "yes"}).status_code == 403
    unchanged = Asset.objects.get()
    assert (unchanged.title, unchanged.collection, unchanged.owner) == (asset.title, None, staff)
    assert clerk_client.get(TAGS).status_code == 403
    assert not OrmQ.objects.exists()


def test_every_registered_list_is_held_to_a_fixed_number_of_queries():
    from django.contrib import admin

    registered = {f"/admin/{model._meta.app_label}/{model._meta.model_name}/" for model in admin.site._registry}
    assert {path for path in registered if not path.startswith("/admin/search/")} == set(LISTS)


def test_failed_task_can_be_queued_again(staff_client):
    task = make_task(1, success=False)
    fields = {"action": "resubmit_task", ACTION_CHECKBOX_NAME: task.pk}
    staff_client.post("/admin/django_q/failure/", fields)
    assert [queued.func() for queued in OrmQ.objects.all()] == ["search.tasks.sweep"]
    assert not Task.objects.exists()
