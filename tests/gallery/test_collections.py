import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from gallery import arranging, undoing
from gallery.collection_views import _ASSETS_A_PAGE
from gallery.history import Act
from gallery.models import Asset, Change, Collection
from search.models import Encoder

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
MOST_QUERIES = 12
MakeAsset = Callable[..., Asset]


@pytest.fixture(autouse=True)
def _no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.tasks.queue_asset", lambda asset_id: None)


@pytest.fixture
def spring(user: User) -> Collection:
    return Collection.objects.create(name="Spring", owner=user)


@pytest.fixture
def rows(user: User, spring: Collection) -> Callable[[int], list[Asset]]:
    """rows(count): assets of the collection without files, oldest first."""
    facts: dict[str, Any] = {"owner": user, "format": "JPEG", "width": 400, "height": 300, "size_bytes": 1000}

    def make(count: int) -> list[Asset]:
        named = (Asset(title=f"{i}", sha256=f"{i:064}", collection=spring, **facts) for i in range(count))
        return Asset.objects.bulk_create(named)

    return make


@pytest.fixture
def act(user: User) -> Act:
    return Act(user)


def address(name: str, collection: Collection) -> str:
    return reverse(f"gallery:{name}", args=[collection.pk])


def order(collection: Collection) -> list[Asset]:
    return list(collection.assets.arranged())


# --- all of them ----------------------------------------------------------------------------------------------


def test_collections_shows_cover_count_and_size(
    user_client: Client, user: User, rows, encoder: Encoder, django_assert_max_num_queries
) -> None:
    Collection.objects.create(name="Empty", owner=user)
    _, newest = rows(2)
    with django_assert_max_num_queries(MOST_QUERIES):
        response = user_client.get(reverse("gallery:collections"))

    assert [(found.name, found.shown_cover, *size) for found, size in response.context["shown"]] == [
        ("Empty", None, 0, 0),
        ("Spring", newest.pk, 2, 2000),
    ]


def test_collections_makes_one_and_shows_it(user_client: Client, user: User) -> None:
    response = user_client.post(reverse("gallery:collections"), {"name": "  Spring   shoes "})
    made = Collection.objects.get()

    assert response["Location"] == made.get_absolute_url()
    assert (made.name, made.owner) == ("Spring shoes", user)
    assert b"Nothing in this collection yet" in user_client.get(made.get_absolute_url()).content


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "sPRING"])
def test_collections_refuses_a_bad_or_taken_name(user_client: Client, spring: Collection, name: str) -> None:
    assert user_client.post(reverse("gallery:collections"), {"name": name}).status_code == 400
    assert Collection.objects.get() == spring


# --- one of them ----------------------------------------------------------------------------------------------


def test_collection_shows_what_it_holds(
    user_client: Client, spring: Collection, rows, encoder: Encoder, django_assert_max_num_queries
) -> None:
    rows(_ASSETS_A_PAGE + 5)
    spring.notes = "For the\ncatalogue <b>"
    spring.save()
    with django_assert_max_num_queries(MOST_QUERIES):
        page = user_client.get(spring.get_absolute_url()).content.decode()

    assert "65 assets" in page
    assert "63.5\xa0KB" in page
    assert "For the<br>catalogue &lt;b&gt;" in page
    assert f"{reverse('search:search')}?collection={spring.pk}" in page


@pytest.mark.parametrize(
    ("name", "marked"), [("collection", "true"), ("edit_collection", "true"), ("collections", "page"), ("tags", "")]
)
def test_collections_is_marked_in_the_navigation_where_one_is(
    user_client: Client, spring: Collection, name: str, marked: str
) -> None:
    page = user_client.get(reverse(f"gallery:{name}", args=[spring.pk] if marked == "true" else [])).content.decode()
    link = page.partition(f'<a href="{reverse("gallery:collections")}"')[2].partition(">")[0].strip()
    assert link == (f'aria-current="{marked}"' if marked else "")


def test_page_below_one_of_the_navigation_marks_that_one(user_client: Client, staff_client: Client, asset) -> None:
    stored = asset(1)
    below = {
        "search:search": ["/reports/", "/reports/have/", "/searches/"],
        "gallery:gallery": [stored.get_absolute_url(), f"{stored.get_absolute_url()}history/"],
        "gallery:upload": ["/import/", "/imports/"],
        "admin:index": ["/admin/gallery/collection/", "/admin/gallery/import/", "/admin/gallery/tag/add/"],
    }
    for name, addresses in below.items():
        for address in addresses:
            client = staff_client if name == "admin:index" else user_client
            page = client.get(address).content.decode()
            marked = re.findall(r'<nav class="nav".*?</nav>', page, re.DOTALL)[0]
            assert re.findall(r'href="([^"]*)"\s+aria-current="true"', marked) == [reverse(name)], address


def test_tile_of_a_collection_is_that_of_the_gallery(user_client: Client, spring: Collection, rows) -> None:
    [made] = rows(1)

    def link(address: str) -> list[str]:
        page = user_client.get(address).content.decode()
        return page.partition('<li id="asset-')[2].partition("<a ")[2].partition("</a>")[0].split()

    own = link(spring.get_absolute_url())
    assert f'href="{made.get_absolute_url()}?collection={spring.pk}"' in own
    assert own == link(f"/gallery/?collection={spring.pk}")


def test_collection_pages_by_key_until_all_were_shown(user_client: Client, spring: Collection, rows, act: Act) -> None:
    made = rows(_ASSETS_A_PAGE + 5)
    arranging.move_to_start(made[3], act)
    first = user_client.get(spring.get_absolute_url()).context["page"]
    rest = user_client.get(spring.get_absolute_url(), {"after": first.last.pk}, headers=HTMX)

    shown = [*first.assets, *rest.context["page"].assets]
    assert shown == order(spring)
    assert rest.context["page"].last is None
    assert rest.templates[0].name == "gallery/_collection_tiles.html"


@pytest.mark.parametrize("after", ["x", "99999999999", "9" * 30])
def test_collection_begins_anew_after_what_is_not_in_it(
    user_client: Client, spring: Collection, rows, after: str
) -> None:
    made = rows(2)

    assert user_client.get(spring.get_absolute_url(), {"after": after}).context["page"].assets == made[::-1]


def test_collection_is_renamed_even_to_another_case_and_noted(user_client: Client, spring: Collection) -> None:
    given = {"name": "SPRING", "notes": "of 2026"}
    response = user_client.post(address("edit_collection", spring), given)

    spring.refresh_from_db()
    assert response["Location"] == spring.get_absolute_url()
    assert (spring.name, spring.notes) == ("SPRING", "of 2026")


def test_collection_is_deleted_and_its_assets_stay(user_client: Client, spring: Collection, rows) -> None:
    [stored] = rows(1)

    assert b"assets stay" in user_client.get(address("delete_collection", spring)).content
    user_client.post(address("delete_collection", spring))
    stored.refresh_from_db()
    assert stored.collection is None


@pytest.mark.parametrize("name", ["edit_collection", "delete_collection", "place_asset", "choose_cover"])
def test_collection_of_another_is_not_changed(
    client: Client, stranger_client: Client, spring: Collection, name: str
) -> None:
    assert stranger_client.post(address(name, spring)).status_code == 403
    assert client.post(address(name, spring)).status_code == 302
    assert Collection.objects.get() == spring


def test_collection_offers_changes_to_who_may_make_them(
    user_client: Client, stranger_client: Client, spring: Collection, rows
) -> None:
    rows(1)
    for query in ("", "?arrange=1"):
        page = stranger_client.get(spring.get_absolute_url() + query).content.decode()
        assert address("edit_collection", spring) not in page
        assert address("place_asset", spring) not in page
    assert address("place_asset", spring) in user_client.get(spring.get_absolute_url() + "?arrange=1").content.decode()


# --- its cover ------------------------------------------------------------------------------------------------


def shown_cover(collection: Collection, user: User) -> int | None:
    return Collection.objects.with_cover(user).get(pk=collection.pk).shown_cover


def test_cover_is_chosen_and_given_back(user_client: Client, user: User, spring: Collection, rows) -> None:
    older, newest = rows(2)
    user_client.post(address("choose_cover", spring), {"asset": older.pk})
    assert shown_cover(spring, user) == older.pk

    user_client.post(address("choose_cover", spring))
    assert shown_cover(spring, user) == newest.pk


def test_cover_is_the_newest_where_the_chosen_one_has_left(user: User, spring: Collection, rows) -> None:
    older, newest = rows(2)
    Collection.objects.filter(pk=spring.pk).update(cover=older)
    Asset.objects.filter(pk=older.pk).update(collection=None)
    assert shown_cover(spring, user) == newest.pk

    older.delete()
    spring.refresh_from_db()
    assert spring.cover is None


def test_cover_is_of_the_collection(user_client: Client, user: User, spring: Collection, asset: MakeAsset) -> None:
    user_client.post(address("choose_cover", spring), {"asset": asset(1).pk})

    assert shown_cover(spring, user) is None


# --- its order ------------------------------------------------------------------------------------------------


def test_order_is_newest_first_and_then_as_moved(spring: Collection, rows, act: Act) -> None:
    c, b, a = rows(3)
    assert order(spring) == [a, b, c]

    arranging.put_before(c, a, act)
    assert order(spring) == [c, a, b]
    arranging.put_after(c, b, act)
    assert order(spring) == [a, b, c]
    arranging.put_after(a, b, act)
    assert order(spring) == [b, a, c]
    arranging.move_later(a, act)
    assert order(spring) == [b, c, a]
    arranging.move_earlier(c, act)
    assert order(spring) == [c, b, a]
    arranging.move_to_start(a, act)
    assert order(spring) == [a, c, b]


def test_moves_beyond_the_ends_change_nothing(spring: Collection, rows, act: Act) -> None:
    b, a = rows(2)
    arranging.move_earlier(a, act)
    arranging.move_to_start(a, act)
    arranging.move_later(b, act)

    assert order(spring) == [a, b]


def test_what_was_put_first_stays_before_what_comes_later(spring: Collection, rows, asset: MakeAsset, act: Act) -> None:
    b, a = rows(2)
    arranging.move_to_start(b, act)
    new = asset(1, collection=spring)

    assert order(spring) == [b, new, a]


def test_one_move_writes_one_row(spring: Collection, rows, django_assert_max_num_queries, act: Act) -> None:
    made = rows(20)
    with django_assert_max_num_queries(11):
        arranging.put_before(made[3], made[12], act)

    assert Asset.objects.exclude(given_place=None).get() == made[3]


def test_a_spot_takes_any_number_of_moves(spring: Collection, rows, act: Act) -> None:
    made = rows(4)
    last, first = made[0], made[-1]
    for turn in range(120):
        arranging.put_after(made[1 + turn % 2], first, act)

    assert order(spring) == [first, made[2], made[1], last]


def test_places_of_one_collection_are_not_those_of_another(user: User, spring: Collection, rows, act: Act) -> None:
    b, a = rows(2)
    arranging.move_to_start(b, act)
    autumn = Collection.objects.create(name="Autumn", owner=user)
    Asset.objects.update(collection=autumn)
    assert order(autumn) == [a, b]

    Asset.objects.update(collection=spring)
    assert order(spring) == [b, a]


def test_asset_is_placed_by_page_and_by_script(user_client: Client, spring: Collection, rows) -> None:
    c, b, a = rows(3)
    by_page = user_client.post(address("place_asset", spring), {"asset": b.pk, "step": "start", "after_page": a.pk})
    assert by_page["Location"] == f"{spring.get_absolute_url()}?arrange=1&after={a.pk}#asset-{b.pk}"
    assert order(spring) == [b, a, c]

    by_script = user_client.post(address("place_asset", spring), {"asset": c.pk, "before": a.pk}, headers=HTMX)
    assert "was moved" in by_script.content.decode()
    assert order(spring) == [b, c, a]


@pytest.mark.parametrize("given", [{}, {"step": "up"}, {"step": "start", "before": "1"}, {"before": "0"}])
def test_asset_is_not_placed_nowhere(user_client: Client, spring: Collection, rows, given: dict[str, str]) -> None:
    [stored] = rows(1)
    response = user_client.post(address("place_asset", spring), {"asset": stored.pk, **given})

    assert response.status_code == 400
    assert "Reload" in response["X-Detail"]


def test_asset_of_another_collection_is_not_placed(user_client: Client, spring: Collection, rows, asset) -> None:
    [stored], outside = rows(1), asset(1)
    given = {"asset": outside.pk, "before": stored.pk}

    assert user_client.post(address("place_asset", spring), given).status_code == 400


# --- a move taken back ----------------------------------------------------------------------------------------


def undo(client: Client, change: Change | None = None) -> str:
    """The move that was made last, or another."""
    act = (change or Change.objects.first()).act  # type: ignore[union-attr]
    return client.post(reverse("gallery:undo", args=[act]), follow=True).content.decode()


def test_move_is_offered_to_be_undone_and_is(user_client: Client, spring: Collection, rows) -> None:
    c, b, a = rows(3)
    page = user_client.post(address("place_asset", spring), {"asset": c.pk, "step": "start"}, follow=True)
    assert "“0” was moved." in page.content.decode()
    assert reverse("gallery:undo", args=[Change.objects.get().act]) in page.content.decode()
    assert order(spring) == [c, a, b]

    user_client.post(address("place_asset", spring), {"asset": c.pk, "after": a.pk}, headers=HTMX)
    assert order(spring) == [a, c, b]
    assert "Undone: 1 asset is as it was." in undo(user_client)
    assert order(spring) == [c, a, b]
    undo(user_client, Change.objects.last())
    assert order(spring) == [a, b, c]
    c.refresh_from_db()
    assert c.given_place is None


def test_move_that_changed_nothing_is_not_told(user_client: Client, spring: Collection, rows) -> None:
    [stored] = rows(1)
    page = user_client.post(address("place_asset", spring), {"asset": stored.pk, "step": "earlier"}, follow=True)
    assert "was moved" not in page.content.decode()


def test_any_move_is_undone_exactly(user: User, spring: Collection, rows, act: Act) -> None:
    """Also those for which room had to be made between two."""
    made = rows(4)
    for turn in range(120):
        arranging.put_after(made[1 + turn % 2], made[-1], act)
        before, moved = order(spring), Act(user)
        arranging.put_after(made[0], made[-1], moved)
        undoing.undo(moved.id, user)
        assert order(spring) == before


def test_what_was_moved_again_or_has_left_stays_where_it_is(user_client: Client, user: User, spring, rows) -> None:
    _, b, a = rows(3)
    user_client.post(address("place_asset", spring), {"asset": a.pk, "step": "later"})
    first = Change.objects.get()
    user_client.post(address("place_asset", spring), {"asset": a.pk, "step": "later"})
    assert "nothing left to undo" in undo(user_client, first)
    assert order(spring)[-1] == a

    Asset.objects.filter(pk=a.pk).update(collection=Collection.objects.create(name="Autumn", owner=user))
    assert "nothing left to undo" in undo(user_client)
    assert order(spring)[0] == b


def test_who_arranges_a_collection_undoes_it_whoever_owns_the_asset(
    user_client: Client, stranger: User, spring: Collection, rows
) -> None:
    _, a = rows(2)
    Asset.objects.update(owner=stranger)
    user_client.post(address("place_asset", spring), {"asset": a.pk, "step": "later"})
    undo(user_client)
    assert order(spring)[0] == a

    user_client.post(address("place_asset", spring), {"asset": a.pk, "step": "later"})
    Collection.objects.update(owner=stranger)
    assert "nothing left to undo" in undo(user_client)
    assert order(spring)[-1] == a
